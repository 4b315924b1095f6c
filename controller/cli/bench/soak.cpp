#include "controller/cli/bench/soak.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "controller/cli/output.hpp"
#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "millrace/units.hpp"

namespace millrace::cli {
namespace {

namespace fs = std::filesystem;
constexpr std::int64_t kLeast_ns = 30'000'000'000;
constexpr int kInterval_ms = 1000;

/// The number behind `key` in /proc/PID/status.
std::int64_t status_of(const fs::path& process, const std::string& key) {
  std::ifstream stream(process / "status");
  for (std::string line; std::getline(stream, line);)
    if (line.starts_with(key)) return std::stoll(line.substr(key.size() + 1));
  return 0;
}

/// Empty where the process has ended.
std::optional<Footprint> footprint_of(pid_t id) {
  const fs::path process = fmt::format("/proc/{}", id);
  Footprint found;
  std::error_code error;
  for (auto entry = fs::directory_iterator(process / "fd", error);
       entry != fs::directory_iterator(); entry.increment(error))
    ++found.descriptors;
  found.memory_bytes = 1024 * status_of(process, "VmRSS:");
  found.threads = static_cast<int>(status_of(process, "Threads:"));
  return found.memory_bytes > 0 ? std::optional(found) : std::nullopt;
}

template <typename Value>
Value middle(const std::vector<Footprint>& samples, std::size_t begin, std::size_t end,
             Value Footprint::*value) {
  std::vector<Value> values;
  for (std::size_t i = begin; i < end; ++i) values.push_back(samples[i].*value);
  std::nth_element(values.begin(), values.begin() + std::ssize(values) / 2, values.end());
  return values[values.size() / 2];
}

Footprint median_of(const std::vector<Footprint>& samples, std::size_t begin, std::size_t end) {
  return {middle(samples, begin, end, &Footprint::memory_bytes),
          middle(samples, begin, end, &Footprint::threads),
          middle(samples, begin, end, &Footprint::descriptors)};
}

nlohmann::ordered_json json_of(const Footprint& footprint) {
  return {{"memory_bytes", footprint.memory_bytes},
          {"threads", footprint.threads},
          {"descriptors", footprint.descriptors}};
}

std::string row(const char* name, const Footprint& footprint) {
  return fmt::format("{:<17} {:>12} {:>9} {:>13}\n", name,
                     format_bytes(static_cast<double>(footprint.memory_bytes)), footprint.threads,
                     footprint.descriptors);
}

}  // namespace

void summarise(const std::vector<Footprint>& samples, SoakReport& report) {
  MILLRACE_CHECK(samples.size() >= 20, "bench", "enough samples");
  const std::size_t tenth = samples.size() / 10;
  report.early = median_of(samples, tenth, 2 * tenth);
  report.late = median_of(samples, samples.size() - tenth, samples.size());
  for (const Footprint& sample : samples) {
    report.most.memory_bytes = std::max(report.most.memory_bytes, sample.memory_bytes);
    report.most.threads = std::max(report.most.threads, sample.threads);
    report.most.descriptors = std::max(report.most.descriptors, sample.descriptors);
  }
}

SoakReport measure_soak(const Trainings& trainings, const RunConfig& config, std::int64_t time_ns) {
  if (time_ns < kLeast_ns)
    throw ConfigError("bench", fmt::format("a soak of {} shows nothing: give 30s or more, such as "
                                           "10m",
                                           format_duration(static_cast<double>(time_ns))));
  trainings.json_of(trainings.estimate({"--steps", "1"}));  // measures what is not kept
  log_info("bench", fmt::format("training {} for {}", config.model,
                                format_duration(static_cast<double>(time_ns))));
  const ProcessSpec spec = trainings.train("soak", {"--time", fmt::format("{}ns", time_ns)});
  Process training(spec);
  std::vector<Footprint> samples;
  while (!training.ends_within(kInterval_ms))
    if (const auto sample = footprint_of(training.id())) samples.push_back(*sample);
  const auto result = trainings.json_of(training, spec);
  SoakReport report{
      config.model, static_cast<double>(time_ns) * 1e-9, result.at("steps"), {}, {}, {}};
  summarise(samples, report);
  return report;
}

std::string to_json(const SoakReport& report) {
  return json_text({{"model", report.model},
                    {"seconds", report.seconds},
                    {"steps", report.steps},
                    {"early", json_of(report.early)},
                    {"late", json_of(report.late)},
                    {"most", json_of(report.most)}});
}

std::string to_table(const SoakReport& report) {
  return fmt::format("{}: {} steps in {}\n\n{:<17} {:>12} {:>9} {:>13}\n", report.model,
                     report.steps, format_duration(report.seconds * 1e9), "", "memory", "threads",
                     "descriptors") +
         row("second tenth", report.early) + row("last tenth", report.late) +
         row("most", report.most) +
         fmt::format("\nmemory grew by {:.1f} %\n",
                     100 * (static_cast<double>(report.late.memory_bytes) /
                                static_cast<double>(report.early.memory_bytes) -
                            1));
}

}  // namespace millrace::cli
