// The cost graph "millrace-costs" as JSON. Types are checked here, values in profile_check.cpp.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "framework/base/json_reader.hpp"
#include "millrace/profile.hpp"

namespace millrace {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr const char* kFormat = "millrace-costs";
constexpr int kVersion = 1;
constexpr std::int64_t kMostDevices = 10'000;

/// Keys of the object `key`, in the file's (sorted) order.
std::vector<std::string> keys_of(JsonReader& reader, const std::string& key) {
  std::vector<std::string> result;
  for (const auto& item : reader.object(key).items()) result.push_back(item.key());
  return result;
}

std::optional<double> read_budget(JsonReader& reader, const std::string& key) {
  if (!reader.has(key) || reader.any(key).is_null()) return std::nullopt;
  return reader.number(key);
}

PerKind read_per_kind(JsonReader& reader, const std::string& key) {
  PerKind result;
  JsonReader kinds = reader.child(key);
  for (const auto& kind : keys_of(reader, key)) result[kind] = kinds.numbers(kind);
  return result;
}

std::map<std::string, double> read_number_per_kind(JsonReader& reader, const std::string& key) {
  std::map<std::string, double> result;
  if (!reader.has(key)) return result;
  JsonReader kinds = reader.child(key);
  for (const auto& kind : keys_of(reader, key)) result[kind] = kinds.number(kind);
  return result;
}

std::map<std::string, std::string> read_text_per_kind(JsonReader& reader, const std::string& key) {
  std::map<std::string, std::string> result;
  if (!reader.has(key)) return result;
  JsonReader kinds = reader.child(key);
  for (const auto& kind : keys_of(reader, key)) result[kind] = kinds.text(kind);
  return result;
}

PerWidth read_per_width(JsonReader& kinds, const std::string& kind) {
  PerWidth result;
  JsonReader widths = kinds.child(kind);
  for (const auto& text : keys_of(kinds, kind)) {
    int width = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), width);
    if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) {
      widths.fail(text, "is no number of devices: write a whole number, such as \"2\"");
    }
    result[width] = widths.numbers(text);
  }
  return result;
}

std::map<std::string, PerWidth> read_pass(JsonReader& reader, const std::string& key) {
  std::map<std::string, PerWidth> result;
  JsonReader kinds = reader.child(key);
  for (const auto& kind : keys_of(reader, key)) result[kind] = read_per_width(kinds, kind);
  return result;
}

std::optional<PassWidths> read_pass_widths(JsonReader& reader, const std::string& key) {
  if (!reader.has(key)) return std::nullopt;
  JsonReader passes = reader.child(key);
  PassWidths result;
  result.forward = read_pass(passes, "forward");
  if (passes.has("backward")) result.backward = read_pass(passes, "backward");
  if (passes.has("input_gradient")) result.input_gradient = read_pass(passes, "input_gradient");
  if (passes.has("weight_gradient")) result.weight_gradient = read_pass(passes, "weight_gradient");
  passes.finish();
  return result;
}

DeviceKind read_kind(JsonReader reader) {
  DeviceKind kind;
  kind.name = reader.text("name");
  const std::int64_t count = reader.integer("count");
  if (count > kMostDevices)
    reader.fail("count", fmt::format("is {}, at most {} devices of a kind are planned: leave out "
                                     "what is not used",
                                     count, kMostDevices));
  kind.count = static_cast<int>(std::max<std::int64_t>(count, 0));
  kind.memory_bytes = read_budget(reader, "memory_bytes");
  if (reader.has("link_ns_per_byte")) kind.link_ns_per_byte = reader.number("link_ns_per_byte");
  if (reader.has("link_latency_ns")) kind.link_latency_ns = reader.number("link_latency_ns");
  reader.finish();
  return kind;
}

void read_training_costs(JsonReader& reader, LayerCosts& layer) {
  layer.backward_ns = read_per_kind(reader, "backward_ns");
  layer.update_ns = read_number_per_kind(reader, "update_ns");
  layer.saved_bytes = reader.number("saved_bytes");
  if (reader.has("deferred_bytes")) layer.deferred_bytes = reader.number("deferred_bytes");
  const std::vector<const char*> parts = {"input_gradient_ns", "weight_gradient_ns",
                                          "weight_gradient_bytes"};
  const bool any =
      std::any_of(parts.begin(), parts.end(), [&](const char* part) { return reader.has(part); });
  if (!any) return;
  layer.input_gradient_ns = read_per_kind(reader, "input_gradient_ns");
  layer.weight_gradient_ns = read_per_kind(reader, "weight_gradient_ns");
  layer.weight_gradient_bytes = reader.number("weight_gradient_bytes");
}

/// The fields that only training has; a cost graph for inference that names one is a mistake.
void refuse_training_costs(const JsonReader& reader) {
  for (const char* key : {"backward_ns", "update_ns", "saved_bytes", "deferred_bytes",
                          "input_gradient_ns", "weight_gradient_ns", "weight_gradient_bytes"}) {
    if (reader.has(key)) {
      reader.fail(key, "belongs to training, and training is false: remove it or set training");
    }
  }
}

LayerCosts read_layer(JsonReader reader, bool training) {
  LayerCosts layer;
  layer.name = reader.text("name");
  if (reader.has("type")) layer.type = reader.text("type");
  layer.forward_ns = read_per_kind(reader, "forward_ns");
  if (training) {
    read_training_costs(reader, layer);
  } else {
    refuse_training_costs(reader);
  }
  layer.weights_bytes = reader.number("weights_bytes");
  if (reader.has("workspace_bytes")) layer.workspace_bytes = reader.number("workspace_bytes");
  if (reader.has("workspace_bytes_per_sample"))
    layer.workspace_bytes_per_sample = reader.number("workspace_bytes_per_sample");
  if (reader.has("whole_batch")) layer.whole_batch = reader.boolean("whole_batch");
  if (reader.has("splits")) layer.splits = reader.texts("splits");
  layer.threads_ns = read_pass_widths(reader, "threads_ns");
  layer.features_ns = read_pass_widths(reader, "features_ns");
  layer.loaded = read_number_per_kind(reader, "loaded");
  if (reader.has("spread_percent")) layer.spread_percent = reader.number("spread_percent");
  layer.implementation = read_text_per_kind(reader, "implementation");
  reader.finish();
  return layer;
}

TensorCosts read_tensor(JsonReader reader) {
  TensorCosts tensor;
  tensor.from = reader.text("from");
  tensor.to = reader.texts("to");
  tensor.bytes = reader.number("bytes");
  const std::string pass = reader.has("pass") ? reader.text("pass") : "forward";
  if (pass != "forward" && pass != "backward") {
    reader.fail("pass", fmt::format("is \"{}\": write \"forward\" or \"backward\"", pass));
  }
  tensor.backward = pass == "backward";
  reader.finish();
  return tensor;
}

bool read_overlapped(JsonReader& reader) {
  const std::string transfers = reader.has("transfers") ? reader.text("transfers") : "serial";
  if (transfers != "serial" && transfers != "overlapped") {
    reader.fail("transfers",
                fmt::format("is \"{}\": write \"serial\" or \"overlapped\"", transfers));
  }
  return transfers == "overlapped";
}

ordered_json optional_number(const std::optional<double>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

ordered_json write_kind(const DeviceKind& kind) {
  return {{"name", kind.name},
          {"count", kind.count},
          {"memory_bytes", optional_number(kind.memory_bytes)},
          {"link_ns_per_byte", kind.link_ns_per_byte},
          {"link_latency_ns", kind.link_latency_ns}};
}

ordered_json write_pass(const std::map<std::string, PerWidth>& pass) {
  ordered_json result = ordered_json::object();
  for (const auto& [kind, widths] : pass) {
    for (const auto& [width, ns] : widths) result[kind][std::to_string(width)] = ns;
  }
  return result;
}

ordered_json write_pass_widths(const PassWidths& widths, bool training) {
  ordered_json result = {{"forward", write_pass(widths.forward)}};
  if (training) result["backward"] = write_pass(widths.backward);
  if (!widths.input_gradient.empty()) {
    result["input_gradient"] = write_pass(widths.input_gradient);
    result["weight_gradient"] = write_pass(widths.weight_gradient);
  }
  return result;
}

ordered_json write_layer(const LayerCosts& layer, bool training) {
  ordered_json result = {
      {"name", layer.name}, {"type", layer.type}, {"forward_ns", layer.forward_ns}};
  if (training) {
    result["backward_ns"] = layer.backward_ns;
    if (layer.splits_backward()) {
      result["input_gradient_ns"] = layer.input_gradient_ns;
      result["weight_gradient_ns"] = layer.weight_gradient_ns;
    }
    result["update_ns"] = layer.update_ns;
  }
  result["weights_bytes"] = layer.weights_bytes;
  if (training) result["saved_bytes"] = layer.saved_bytes;
  if (layer.deferred_bytes > 0) result["deferred_bytes"] = layer.deferred_bytes;
  if (layer.splits_backward()) result["weight_gradient_bytes"] = layer.weight_gradient_bytes;
  if (layer.workspace_bytes > 0) result["workspace_bytes"] = layer.workspace_bytes;
  if (layer.workspace_bytes_per_sample > 0)
    result["workspace_bytes_per_sample"] = layer.workspace_bytes_per_sample;
  if (layer.whole_batch) result["whole_batch"] = true;
  result["splits"] = layer.splits;
  if (layer.threads_ns) result["threads_ns"] = write_pass_widths(*layer.threads_ns, training);
  if (layer.features_ns) result["features_ns"] = write_pass_widths(*layer.features_ns, training);
  if (!layer.loaded.empty()) result["loaded"] = layer.loaded;
  if (layer.spread_percent) result["spread_percent"] = *layer.spread_percent;
  if (!layer.implementation.empty()) result["implementation"] = layer.implementation;
  return result;
}

ordered_json write_tensor(const TensorCosts& tensor) {
  return {{"from", tensor.from},
          {"to", tensor.to},
          {"bytes", tensor.bytes},
          {"pass", tensor.backward ? "backward" : "forward"}};
}

}  // namespace

Profile profile_from_json(std::string_view text, const std::string& origin) {
  const json document = JsonReader::parse(text, "costs", origin);
  JsonReader reader(document, "costs", origin, "");
  check_format(reader, kFormat, kVersion);
  Profile profile;
  profile.model = reader.text("model");
  if (reader.has("training")) profile.training = reader.boolean("training");
  profile.samples = reader.integers("samples");
  for (std::size_t i = 0; i < reader.array("kinds").size(); ++i) {
    profile.kinds.push_back(read_kind(reader.element("kinds", i)));
  }
  profile.shared_memory_bytes = read_budget(reader, "shared_memory_bytes");
  profile.bytes_per_weight_byte = profile.training ? 3 : 1;
  if (reader.has("bytes_per_weight_byte")) {
    profile.bytes_per_weight_byte = reader.number("bytes_per_weight_byte");
  }
  profile.overlapped_transfers = read_overlapped(reader);
  for (std::size_t i = 0; i < reader.array("layers").size(); ++i) {
    profile.layers.push_back(read_layer(reader.element("layers", i), profile.training));
  }
  for (std::size_t i = 0; i < reader.array("tensors").size(); ++i) {
    profile.tensors.push_back(read_tensor(reader.element("tensors", i)));
  }
  if (reader.has("loader_ns_per_sample")) {
    profile.loader_ns_per_sample = reader.number("loader_ns_per_sample");
  }
  reader.finish();
  check_profile(profile, origin);
  return profile;
}

std::string to_json(const Profile& profile) {
  ordered_json document = {{"format", kFormat},
                           {"version", kVersion},
                           {"model", profile.model},
                           {"training", profile.training},
                           {"samples", profile.samples}};
  document["kinds"] = ordered_json::array();
  for (const auto& kind : profile.kinds) document["kinds"].push_back(write_kind(kind));
  document["shared_memory_bytes"] = optional_number(profile.shared_memory_bytes);
  document["bytes_per_weight_byte"] = profile.bytes_per_weight_byte;
  document["transfers"] = profile.overlapped_transfers ? "overlapped" : "serial";
  document["layers"] = ordered_json::array();
  for (const auto& layer : profile.layers) {
    document["layers"].push_back(write_layer(layer, profile.training));
  }
  document["tensors"] = ordered_json::array();
  for (const auto& tensor : profile.tensors) document["tensors"].push_back(write_tensor(tensor));
  if (profile.loader_ns_per_sample) {
    document["loader_ns_per_sample"] = *profile.loader_ns_per_sample;
  }
  return document.dump(1) + "\n";
}

}  // namespace millrace
