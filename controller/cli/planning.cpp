#include "controller/cli/planning.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "controller/deadline.hpp"
#include "controller/estimate/what_if.hpp"
#include "framework/base/file.hpp"
#include "framework/clock.hpp"
#include "framework/plan/plan_text.hpp"
#include "millrace/errors.hpp"
#include "millrace/units.hpp"
#include "models/data/dataset.hpp"
#include "models/data/text.hpp"
#include "models/zoo/list.hpp"

namespace millrace::cli {
namespace {

std::optional<int> as_int(const std::optional<std::int64_t>& value) {
  return value ? std::optional<int>(static_cast<int>(*value)) : std::nullopt;
}

/// Calls body(layer, implementation) for all that the plan names.
template <typename Body>
void for_each_implementation(const Plan& plan, const Body& body) {
  for (const PlanStage& stage : plan.stages)
    for (const auto& [layer, chosen] : stage.implementations)
      for (const std::string& name :
           {chosen.forward, chosen.input_gradient, chosen.weight_gradient})
        body(layer, name);
}

void require_allowed(const std::string& layer, const std::string& name, const std::string& file,
                     const RunConfig& config) {
  const auto refuse = [&](const char* flag) {
    throw ConfigError("plan", fmt::format("{} has layer {} by \"{}\", {}: make one with that, or "
                                          "leave it out",
                                          file, layer, name, flag));
  };
  if (!is_allowed(name, config.algorithms)) refuse("--algorithms is direct");
  if (!is_allowed(name, config.precision.value_or(Precision::bf16))) refuse("--precision is fp32");
}

bool has_bf16(const Plan& plan) {
  bool any = false;
  for_each_implementation(plan, [&](const std::string&, const std::string& name) {
    any = any || !is_allowed(name, Precision::fp32);
  });
  return any;
}

const char* recompute_text(RecomputePolicy policy) {
  return policy == RecomputePolicy::all ? "all" : "none";
}

bool keeps(const PlanStage& stage, RecomputePolicy policy) {
  if (policy == RecomputePolicy::none) return stage.recompute.empty();
  return policy == RecomputePolicy::automatic || stage.recompute == stage.layers;
}

/// What else the search would be asked for is what the plan has.
void require_asked(const Plan& plan, const RunConfig& config) {
  const auto refuse = [&](const char* flag, const auto& asked, const std::string& has) {
    throw ConfigError("plan", fmt::format("{} {}: the plan {} has {}: leave {} out, or search a "
                                          "plan with it",
                                          flag, asked, config.plan_file, has, flag));
  };
  if (config.schedule != "auto" && config.schedule != plan.schedule)
    refuse("--schedule", config.schedule, plan.schedule);
  if (config.micro_batch && *config.micro_batch != plan.micro_batch)
    refuse("--micro-batch", *config.micro_batch,
           fmt::format("micro-batches of {}", plan.micro_batch));
  if (config.objective == Objective::period && plan.objective != config.objective)
    refuse("--objective", "period", to_string(plan.objective));
  if (config.max_stages && *config.max_stages < std::ssize(plan.stages))
    refuse("--max-stages", *config.max_stages, fmt::format("{} stages", plan.stages.size()));
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    const PlanStage& stage = plan.stages[s];
    if (config.max_replicas && *config.max_replicas < stage.workers())
      refuse("--max-replicas", *config.max_replicas,
             fmt::format("{} in stage {}", stage.workers(), s));
    if (!keeps(stage, config.recompute))
      refuse("--recompute", recompute_text(config.recompute),
             fmt::format("stage {} that recomputes {} of {} layers", s, stage.recompute.size(),
                         stage.layers.size()));
  }
}

std::string how_good(const Plan& plan) {
  if (plan.optimal) return ", optimal for these costs";
  if (!(plan.bound_ns > 0)) return "";
  const double percent = 100 * (plan.value_ns / plan.bound_ns - 1);
  if (percent < 0.1) return ", less than 0.1 % slower than the best";
  return fmt::format(", at most {:.1f} % slower than the best", percent);
}

std::string devices_text(const PlanStage& stage) {
  const auto is_one = [](const PlannedDevice& device) { return is_core({device.kind}); };
  const auto cores = std::count_if(stage.devices.begin(), stage.devices.end(), is_one);
  const auto gpus = static_cast<std::ptrdiff_t>(stage.devices.size()) - cores;
  const auto counted = [](std::ptrdiff_t count, const char* what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
  };
  if (gpus == 0) return counted(cores, "core");
  return (cores > 0 ? counted(cores, "core") + " and " : "") + counted(gpus, "GPU");
}

}  // namespace

PlanRequest plan_request(const RunConfig& config) {
  PlanRequest request;
  request.batch = config.batch;
  request.micro_batch = config.micro_batch;
  request.objective = config.objective;
  request.schedule = config.schedule;
  request.any_cut = config.any_cut;
  request.max_stages = as_int(config.max_stages);
  request.max_replicas = as_int(config.max_replicas);
  request.recompute = config.recompute;
  request.statistics = config.statistics;
  request.memory_bytes = config.memory_bytes;
  if (config.search_ns) request.search_seconds = double(*config.search_ns) * 1e-9;
  return request;
}

std::int64_t classes_of(const RunConfig& config) {
  if (config.data.empty())
    return is_model_file(config.model) ? 0 : model_info(config.model).default_classes;
  if (reads_text(config.model)) return std::ssize(characters_in(config.data));
  const DataSplit split =
      open_data({.path = config.data, .seed = config.seed, .skip_bad = config.skip_bad_images});
  return static_cast<std::int64_t>(split.train->class_names().size());
}

std::map<std::string, std::vector<int>> cpus_by_kind(const Topology& topology) {
  std::map<std::string, std::vector<int>> cpus;
  for (const CoreKind& kind : topology.kinds) cpus[kind.name] = device_cpus(topology, kind);
  return cpus;
}

Plan make_plan(const Profile& profile, const RunConfig& config, const PlanRequest& request) {
  if (!config.plan_file.empty()) {
    const Plan plan = plan_from_json(read_file(config.plan_file, "plan"), config.plan_file);
    return check_plan(plan, profile, request, steady_seconds);
  }
  auto result = search_plan(profile, request, steady_seconds);
  if (auto* plan = std::get_if<Plan>(&result)) return std::move(*plan);
  const auto& failure = std::get<PlanFailure>(result);
  throw NoPlanError(
      "plan", failure.reason + (failure.nearest.empty() ? "" : "; nearest: " + failure.nearest));
}

RunConfig settle_plan(RunConfig config) {
  if (config.refine > 1 && !config.plan_file.empty()) {
    throw ConfigError("usage", fmt::format("--refine {} chooses a plan, --plan {} names one: leave "
                                           "one of them out",
                                           config.refine, config.plan_file));
  }
  if (config.plan_file.empty()) {
    if (config.costs_file.empty()) return config;
    throw ConfigError("usage", fmt::format("--costs {} without --plan: name the plan that was made "
                                           "for these costs, or leave --costs out",
                                           config.costs_file));
  }
  const Plan plan = plan_from_json(read_file(config.plan_file, "plan"), config.plan_file);
  if (!config.model.empty() && plan.model != model_title(config.model)) {
    throw ConfigError("plan",
                      fmt::format("{} is a plan for {}, this is {}: search one with "
                                  "`millrace plan {} -o FILE`",
                                  config.plan_file, plan.model, config.model, config.model));
  }
  if (config.batch != kAutomaticBatch && config.batch != plan.batch) {
    throw ConfigError("plan", fmt::format("{} is for a batch of {}, --batch asks for {}: leave "
                                          "--batch out, or search a plan for it",
                                          config.plan_file, plan.batch, config.batch));
  }
  for_each_implementation(plan, [&](const std::string& layer, const std::string& name) {
    require_allowed(layer, name, config.plan_file, config);
  });
  if (has_bf16(plan)) config.precision = Precision::bf16;
  require_asked(plan, config);
  config.batch = plan.batch;
  return config;
}

void require_allowed(const Profile& costs, const std::string& file, const RunConfig& config) {
  for (const LayerCosts& layer : costs.layers)
    for (const auto& [kind, name] : layer.implementation)
      require_allowed(layer.name, name, file, config);
}

void require_precision(const RunConfig& config) {
  const bool given = !config.plan_file.empty();  // its layers tell
  if (given || config.precision != Precision::bf16 || computes_bf16()) return;
  throw ConfigError("config",
                    "train.precision = bf16: this CPU does not multiply bfloat16 (AVX512-BF16); "
                    "use --precision fp32, or auto for whatever the CPU has");
}

void check_deadline(const RunConfig& config) {
  if (!config.deadline) return;
  time_left_ns(*config.deadline, std::time(nullptr));
  if (config.refine > 1 && (config.epochs || config.steps)) {
    throw ConfigError("usage",
                      fmt::format("--refine {} tries plans for all cores, --deadline takes "
                                  "the fewest cores that are enough: leave one of them out",
                                  config.refine));
  }
}

Plan even_plan(const Profile& profile, const PlanRequest& request) {
  Plan plan;
  plan.model = profile.model;
  plan.batch = plan.micro_batch = request.batch;
  plan.micro_batches = 1;
  plan.schedule = "1f1b";
  PlanStage stage;
  for (const LayerCosts& layer : profile.layers) stage.layers.push_back(layer.name);
  for (const DeviceKind& kind : profile.kinds) {
    for (const int cpu : request.cpus.at(kind.name)) stage.devices.push_back({kind.name, cpu});
  }
  stage.shares = shares_of(std::vector<std::int64_t>(stage.devices.size(), 1), request.batch);
  plan.stages = {std::move(stage)};
  return check_plan(plan, profile, request, steady_seconds);
}

Profile select_kinds(Profile profile, const RunConfig& config) {
  const std::string& cores = config.cores;
  if (cores != "all" && cores != "big" && cores != "little") {
    throw ConfigError("cores", fmt::format("--cores {}: a cost file has kinds of cores but no CPU "
                                           "numbers; use all, big or little",
                                           cores));
  }
  std::vector<std::size_t> of_cores;
  for (std::size_t k = 0; k < profile.kinds.size(); ++k)
    if (is_core(profile.kinds[k])) of_cores.push_back(k);
  std::vector<int> counts;
  for (std::size_t k = 0; k < profile.kinds.size(); ++k) {
    const bool taken =
        !is_core(profile.kinds[k])
            ? config.gpu != "none" && cores == "all"
            : cores == "all" || k == (cores == "big" ? of_cores.front() : of_cores.back());
    counts.push_back(taken ? profile.kinds[k].count : 0);
  }
  profile = limited_to(std::move(profile), counts);
  check_profile(profile, fmt::format("--cores {} --gpu {}", cores, config.gpu));
  return profile;
}

std::string cores_text(const Plan& plan, std::size_t s) {
  const std::vector<int> lanes = lanes_of(plan);
  const auto first = std::find(lanes.begin(), lanes.end(), lanes[s]) - lanes.begin();
  return (first < static_cast<std::ptrdiff_t>(s) ? fmt::format("stage {}'s ", first) : "") +
         devices_text(plan.stages[s]);
}

std::string form_of(const Plan& plan) {
  std::string text = fmt::format("{} x {} samples", plan.micro_batches, plan.micro_batch);
  if (plan.stages.size() > 1) text += ", " + plan.schedule;
  for (std::size_t s = 0; s < plan.stages.size(); ++s)
    text += fmt::format("{}{} by {}", s == 0 ? ": " : " -> ", cores_text(plan, s),
                        to_string(plan.stages[s].split));
  return text;
}

std::string present_plan(const Plan& plan, const Profile& profile, bool json, bool explained) {
  if (json) return to_json(plan);
  if (explained) return explain(plan, profile);
  std::string text =
      fmt::format("{}: batch {} in {}, {} ({}{}{}), {}\n", plan.model, plan.batch,
                  micro_batches_text(plan), plan.schedule, format_duration(plan.value_ns),
                  plan.objective == Objective::period ? " per micro-batch" : "", how_good(plan),
                  format_bytes(static_cast<double>(plan.memory_bytes)));
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    const PlanStage& stage = plan.stages[s];
    text += fmt::format("  stage {}: {}", s, stage.layers.front());
    if (stage.layers.size() > 1) text += " to " + stage.layers.back();
    text += " on " + cores_text(plan, s);
    if (stage.devices.size() > 1) text += ", split by " + to_string(stage.split);
    if (!stage.recompute.empty())
      text +=
          fmt::format(", {} of {} layers recomputed", stage.recompute.size(), stage.layers.size());
    text += "\n";
  }
  return text + "--explain draws it.";
}

}  // namespace millrace::cli
