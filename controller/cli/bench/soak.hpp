#pragma once
// `bench --soak TIME`: a long training, and whether its memory, threads or descriptors grow.

#include <cstdint>
#include <string>
#include <vector>

#include "controller/cli/bench/trainings.hpp"

namespace millrace::cli {

/// Of a process, at one moment.
struct Footprint {
  std::int64_t memory_bytes = 0;  ///< resident
  int threads = 0, descriptors = 0;
  bool operator==(const Footprint&) const = default;
};

struct SoakReport {
  std::string model;
  double seconds = 0;
  std::int64_t steps = 0;
  Footprint early, late;  ///< medians of the second and of the last tenth of the time
  Footprint most;
};

/// Medians and maxima. REQUIRES: at least 20 samples.
void summarise(const std::vector<Footprint>& samples, SoakReport& report);

/// Samples the training once a second. Throws as run_process(); ConfigError (tag "bench") for less
/// than 30 s, which would show nothing.
SoakReport measure_soak(const Trainings& trainings, const RunConfig& config, std::int64_t time_ns);

std::string to_json(const SoakReport& report);
std::string to_table(const SoakReport& report);

}  // namespace millrace::cli
