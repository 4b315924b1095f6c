#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "framework/base/json_reader.hpp"
#include "framework/profile/kept_profile.hpp"

namespace millrace {
namespace {

using nlohmann::json;
constexpr const char* kFormat = "millrace-kept-profile";
constexpr int kVersion = 2;

json to_value(const CoreKind& kind) {
  return {{"name", kind.name},
          {"cpus", kind.cpus},
          {"relative_speed", kind.relative_speed},
          {"model", kind.model}};
}

CoreKind read_kind(JsonReader reader) {
  CoreKind kind;
  kind.name = reader.text("name");
  for (const json& cpu : reader.array("cpus")) {
    if (!cpu.is_number_integer()) reader.fail("cpus", "has to be a list of CPU numbers");
    kind.cpus.push_back(cpu.get<int>());
  }
  kind.relative_speed = reader.non_negative("relative_speed");
  kind.model = reader.text("model");
  reader.finish();
  return kind;
}

}  // namespace

std::string to_json(const KeptProfile& kept) {
  json kinds = json::array(), rates = json::array();
  for (const CoreKind& kind : kept.kinds) kinds.push_back(to_value(kind));
  for (const auto& [cpu, rate] : kept.rates) {
    rates.push_back({{"cpu", cpu}, {"rounds_per_second", rate}});
  }
  const json document = {{"format", kFormat},
                         {"version", kVersion},
                         {"identity", kept.identity},
                         {"kinds", std::move(kinds)},
                         {"rates", std::move(rates)},
                         {"most_samples", kept.most_samples},
                         {"costs", json::parse(to_json(kept.profile))}};
  return document.dump(1) + "\n";
}

KeptProfile kept_profile_from_json(std::string_view text, const std::string& origin) {
  const json document = JsonReader::parse(text, "profile", origin);
  JsonReader reader(document, "profile", origin, "");
  check_format(reader, kFormat, kVersion);
  KeptProfile kept;
  kept.identity = reader.text("identity");
  for (std::size_t i = 0; i < reader.array("kinds").size(); ++i) {
    kept.kinds.push_back(read_kind(reader.element("kinds", i)));
  }
  for (std::size_t i = 0; i < reader.array("rates").size(); ++i) {
    JsonReader rate = reader.element("rates", i);
    const auto cpu = static_cast<int>(rate.integer("cpu"));
    kept.rates[cpu] = rate.non_negative("rounds_per_second");
    rate.finish();
  }
  kept.most_samples = reader.integer("most_samples");
  kept.profile = profile_from_json(reader.object("costs").dump(), origin);
  reader.finish();
  return kept;
}

}  // namespace millrace
