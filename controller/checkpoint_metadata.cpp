#include "controller/checkpoint_metadata.hpp"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "framework/base/json_reader.hpp"

namespace millrace {
namespace {

using nlohmann::json;

// The metadata of a safetensors file is texts only, so that everything but the checksum is one JSON
// text under one key.
constexpr const char* kInfoKey = "millrace.checkpoint";
constexpr const char* kTag = "checkpoint";
constexpr const char* kFormat = "millrace-checkpoint";
constexpr int kVersion = 1;

json or_null(const std::optional<double>& value) { return value ? json(*value) : json(nullptr); }

std::optional<double> optional_number(JsonReader& reader, const std::string& key) {
  if (reader.any(key).is_null()) return std::nullopt;
  return reader.number(key);
}

template <typename Value>
std::vector<Value> list_of(JsonReader& reader, const std::string& key) {
  try {
    return reader.array(key).get<std::vector<Value>>();
  } catch (const json::exception&) {
    reader.fail(key, "holds a value of another type");
  }
}

/// As text: JSON numbers of other readers lose the low bits of a 64-bit seed.
std::uint64_t seed_from(JsonReader& reader) {
  const std::string text = reader.text("seed");
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc{} || end != text.data() + text.size()) {
    reader.fail("seed", fmt::format("is \"{}\", a whole number is needed", text));
  }
  return seed;
}

}  // namespace

std::map<std::string, std::string> to_metadata(const CheckpointInfo& info) {
  const json document = {{"format", kFormat},
                         {"version", kVersion},
                         {"model", info.facts.model},
                         {"seed", std::to_string(info.facts.seed)},
                         {"classes", info.facts.classes},
                         {"mean", info.facts.mean},
                         {"deviation", info.facts.deviation},
                         {"configuration", info.facts.configuration},
                         {"samples", info.facts.samples},
                         {"step", info.step},
                         {"trained_ns", info.trained_ns},
                         {"accuracy", or_null(info.accuracy)},
                         {"evaluation_loss", or_null(info.evaluation_loss)},
                         {"energy_joules", info.energy_joules}};
  return {{kInfoKey, document.dump(-1, ' ', false, json::error_handler_t::replace)}};
}

CheckpointInfo info_from_metadata(const std::map<std::string, std::string>& metadata,
                                  const std::string& origin) {
  const auto found = metadata.find(kInfoKey);
  const json document =
      JsonReader::parse(found == metadata.end() ? "{}" : found->second, kTag, origin);
  JsonReader reader(document, kTag, origin, kInfoKey);
  check_format(reader, kFormat, kVersion);
  CheckpointInfo info;
  info.facts.model = reader.text("model");
  info.facts.seed = seed_from(reader);
  info.facts.classes = list_of<std::string>(reader, "classes");
  info.facts.mean = list_of<double>(reader, "mean");
  info.facts.deviation = list_of<double>(reader, "deviation");
  info.facts.configuration = reader.text("configuration");
  if (reader.has("samples")) info.facts.samples = reader.integer("samples");
  info.step = reader.integer("step");
  info.trained_ns = reader.integer("trained_ns");
  info.accuracy = optional_number(reader, "accuracy");
  info.evaluation_loss = optional_number(reader, "evaluation_loss");
  if (reader.has("energy_joules")) info.energy_joules = reader.non_negative("energy_joules");
  reader.finish();
  return info;
}

}  // namespace millrace
