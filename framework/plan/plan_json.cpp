// A plan as JSON, "millrace-plan". Reading checks the form; check_plan checks it against costs.

#include <fmt/format.h>

#include <limits>

#include "framework/base/json_reader.hpp"
#include "millrace/plan.hpp"

namespace millrace {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kFormat = "millrace-plan";
constexpr int kVersion = 1;

ordered_json write_devices(const std::vector<PlannedDevice>& devices) {
  ordered_json result = ordered_json::array();
  for (const auto& device : devices) result.push_back({{"kind", device.kind}, {"cpu", device.cpu}});
  return result;
}

ordered_json write_implementations(const std::map<std::string, Implementation>& implementations) {
  ordered_json result = ordered_json::object();
  for (const auto& [layer, names] : implementations) {
    result[layer] = {{"forward", names.forward},
                     {"input_gradient", names.input_gradient},
                     {"weight_gradient", names.weight_gradient}};
  }
  return result;
}

ordered_json write_stage(const PlanStage& stage) {
  ordered_json result = {{"layers", stage.layers},
                         {"devices", write_devices(stage.devices)},
                         {"shares", stage.shares},
                         {"split", to_string(stage.split)},
                         {"feature_layers", stage.feature_layers},
                         {"forward_ns", stage.forward_ns},
                         {"backward_ns", stage.backward_ns},
                         {"update_ns", stage.update_ns},
                         {"memory_bytes", stage.memory_bytes},
                         {"recompute", stage.recompute},
                         {"implementations", write_implementations(stage.implementations)}};
  if (stage.weight_gradient_ns > 0) result["weight_gradient_ns"] = stage.weight_gradient_ns;
  if (!stage.feature_shares.empty()) result["feature_shares"] = stage.feature_shares;
  if (!stage.update_shares.empty()) result["update_shares"] = stage.update_shares;
  return result;
}

ordered_json write_alternative(const PlanAlternative& alternative) {
  return {{"name", alternative.name},
          {"value_ns", alternative.value_ns ? ordered_json(*alternative.value_ns) : nullptr},
          {"why_not", alternative.why_not}};
}

/// What the costs say may be left out of a plan written by hand: check_plan fills it.
double read_predicted(JsonReader& reader, const std::string& key) {
  return reader.has(key) ? reader.non_negative(key) : 0;
}

std::int64_t read_counted(JsonReader& reader, const std::string& key) {
  return reader.has(key) ? reader.integer(key) : 0;
}

int read_cpu(JsonReader& reader) {
  const std::int64_t cpu = reader.integer("cpu");
  if (cpu < 0 || cpu > std::numeric_limits<int>::max()) {
    reader.fail("cpu", fmt::format("is {}, a CPU number of at least 0 is needed", cpu));
  }
  return static_cast<int>(cpu);
}

PlannedDevice read_device(JsonReader reader) {
  PlannedDevice device{reader.text("kind"), read_cpu(reader)};
  reader.finish();
  return device;
}

Split read_split(JsonReader& reader) {
  const std::string name = reader.text("split");
  for (const Split split : {Split::samples, Split::threads, Split::features}) {
    if (name == to_string(split)) return split;
  }
  reader.fail("split", "is \"" + name + "\": write \"samples\", \"threads\" or \"features\"");
}

std::map<std::string, Implementation> read_implementations(JsonReader& stage) {
  std::map<std::string, Implementation> result;
  if (!stage.has("implementations")) return result;
  JsonReader layers = stage.child("implementations");
  for (const auto& item : stage.object("implementations").items()) {
    JsonReader names = layers.child(item.key());
    result[item.key()] = {names.text("forward"), names.text("input_gradient"),
                          names.text("weight_gradient")};
    names.finish();
  }
  return result;
}

PlanStage read_stage(JsonReader reader) {
  PlanStage stage;
  stage.layers = reader.texts("layers");
  for (std::size_t i = 0; i < reader.array("devices").size(); ++i) {
    stage.devices.push_back(read_device(reader.element("devices", i)));
  }
  stage.shares = reader.integers("shares");
  stage.split = read_split(reader);
  if (reader.has("feature_layers")) stage.feature_layers = reader.texts("feature_layers");
  stage.forward_ns = read_predicted(reader, "forward_ns");
  stage.backward_ns = read_predicted(reader, "backward_ns");
  stage.weight_gradient_ns = read_predicted(reader, "weight_gradient_ns");
  stage.update_ns = read_predicted(reader, "update_ns");
  stage.memory_bytes = read_counted(reader, "memory_bytes");
  if (reader.has("recompute")) stage.recompute = reader.texts("recompute");
  stage.implementations = read_implementations(reader);
  if (reader.has("feature_shares")) stage.feature_shares = reader.numbers("feature_shares");
  if (reader.has("update_shares")) stage.update_shares = reader.numbers("update_shares");
  reader.finish();
  return stage;
}

SearchReport read_search(JsonReader reader) {
  SearchReport search;
  search.candidates = reader.integer("candidates");
  if (reader.has("ideals")) search.ideals = reader.integer("ideals");
  if (reader.has("states")) search.states = reader.integer("states");
  search.seconds = reader.non_negative("seconds");
  search.peak_bytes = reader.integer("peak_bytes");
  reader.finish();
  return search;
}

PlanAlternative read_alternative(JsonReader reader) {
  PlanAlternative alternative;
  alternative.name = reader.text("name");
  if (!reader.any("value_ns").is_null()) alternative.value_ns = reader.non_negative("value_ns");
  if (reader.has("why_not")) alternative.why_not = reader.text("why_not");
  reader.finish();
  return alternative;
}

std::vector<PlanAlternative> read_alternatives(JsonReader& reader) {
  std::vector<PlanAlternative> result;
  for (std::size_t i = 0; i < reader.array("alternatives").size(); ++i) {
    result.push_back(read_alternative(reader.element("alternatives", i)));
  }
  return result;
}

Objective read_objective(JsonReader& reader) {
  const std::string name = reader.text("objective");
  for (const Objective objective : {Objective::makespan, Objective::period}) {
    if (name == to_string(objective)) return objective;
  }
  reader.fail("objective", "is \"" + name + "\": write \"makespan\" or \"period\"");
}

}  // namespace

std::string to_json(const Plan& plan) {
  ordered_json document = {{"format", kFormat},
                           {"version", kVersion},
                           {"model", plan.model},
                           {"objective", to_string(plan.objective)},
                           {"batch", plan.batch},
                           {"micro_batch", plan.micro_batch},
                           {"micro_batches", plan.micro_batches},
                           {"schedule", plan.schedule},
                           {"value_ns", plan.value_ns},
                           {"bound_ns", plan.bound_ns},
                           {"optimal", plan.optimal},
                           {"memory_bytes", plan.memory_bytes}};
  document["search"] = {{"candidates", plan.search.candidates},
                        {"ideals", plan.search.ideals},
                        {"states", plan.search.states},
                        {"seconds", plan.search.seconds},
                        {"peak_bytes", plan.search.peak_bytes}};
  document["stages"] = ordered_json::array();
  for (const auto& stage : plan.stages) document["stages"].push_back(write_stage(stage));
  document["alternatives"] = ordered_json::array();
  for (const auto& alternative : plan.alternatives) {
    document["alternatives"].push_back(write_alternative(alternative));
  }
  return document.dump(1) + "\n";
}

Plan plan_from_json(std::string_view text, const std::string& origin) {
  const json document = JsonReader::parse(text, "plan", origin);
  JsonReader reader(document, "plan", origin, "");
  check_format(reader, kFormat, kVersion);
  Plan plan;
  plan.model = reader.text("model");
  plan.objective = read_objective(reader);
  plan.batch = reader.integer("batch");
  plan.micro_batch = reader.integer("micro_batch");
  plan.micro_batches = reader.integer("micro_batches");
  plan.schedule = reader.text("schedule");
  plan.value_ns = read_predicted(reader, "value_ns");
  plan.bound_ns = read_predicted(reader, "bound_ns");
  if (reader.has("optimal")) plan.optimal = reader.boolean("optimal");
  plan.memory_bytes = read_counted(reader, "memory_bytes");
  if (reader.has("search")) plan.search = read_search(reader.child("search"));
  for (std::size_t i = 0; i < reader.array("stages").size(); ++i) {
    plan.stages.push_back(read_stage(reader.element("stages", i)));
  }
  if (reader.has("alternatives")) plan.alternatives = read_alternatives(reader);
  reader.finish();
  return plan;
}

}  // namespace millrace
