#include <algorithm>
#include <nlohmann/json.hpp>

#include "controller/rehearsal.hpp"
#include "framework/base/json_reader.hpp"

namespace millrace {
namespace {

constexpr const char* kTag = "rehearsal";
constexpr const char* kFormat = "millrace-rehearsal";
constexpr double kLongest_ns = 1e14;  // a day

}  // namespace

std::string to_json(const Rehearsal& rehearsal) {
  return nlohmann::ordered_json{{"format", kFormat},
                                {"version", 1},
                                {"steps_ns", rehearsal.steps_ns},
                                {"evaluation_ns", rehearsal.evaluation_ns},
                                {"evaluated_samples", rehearsal.evaluated_samples},
                                {"save_ns", rehearsal.save_ns}}
             .dump() +
         "\n";
}

Rehearsal rehearsal_from_json(const std::string& text, const std::string& origin) {
  const auto json = JsonReader::parse(text, kTag, origin);
  JsonReader reader(json, kTag, origin, "");
  check_format(reader, kFormat, 1);
  Rehearsal rehearsal;
  rehearsal.steps_ns = reader.numbers("steps_ns");
  const auto is_time = [](double ns) { return ns > 0 && ns <= kLongest_ns; };
  if (rehearsal.steps_ns.empty() || !std::ranges::all_of(rehearsal.steps_ns, is_time))
    reader.fail("steps_ns", "has no step, or one that is no time: remove the file");
  rehearsal.evaluation_ns = reader.non_negative("evaluation_ns");
  rehearsal.evaluated_samples = reader.integer("evaluated_samples");
  rehearsal.save_ns = reader.non_negative("save_ns");
  if (rehearsal.evaluated_samples < 0 || rehearsal.evaluation_ns > kLongest_ns ||
      rehearsal.save_ns > kLongest_ns)
    reader.fail("evaluated_samples", "or a time beside it is out of range: remove the file");
  reader.finish();
  return rehearsal;
}

}  // namespace millrace
