#pragma once
// The figures of a benchmark, from the rounds' measurements. Pure values.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace millrace::cli {

struct BenchEstimate {
  double predicted_ns = 0;  ///< by the layers' costs alone
  double expected_ns = 0, latest_ns = 0;
  double measured_ns = 0;
  /// loop_error_percent() right after it, see controller/cli/bench/noise.hpp.
  double noise_percent = 0;
};

struct EntryRound {
  double images_per_second = 0;
  std::int64_t peak_rss_bytes = 0;
  std::optional<BenchEstimate> estimate;  ///< of its timed steps; entry "plan"
};

struct BenchEntry {
  std::string name;
  std::string note;                ///< its layout, or why there are no rounds
  std::vector<EntryRound> rounds;  ///< empty: could not be measured on this machine
};

struct MatrixRate {
  double one_core = 0, all_cores = 0;  ///< FLOPs per second
};

struct BenchReport {
  std::string model;
  std::int64_t batch = 0;
  std::vector<int> cpus;
  double flops_per_image = 0;
  std::vector<MatrixRate> matrix_rates;  ///< one per round, beside its last entry
  std::vector<BenchEntry> entries;

  const BenchEntry* find(const std::string& name) const;
};

/// The names of the entries, in the order in which they run.
const std::vector<std::string>& bench_entry_names();

/// Ratios are taken round by round, then their median; absent where an entry is.
struct BenchRatios {
  std::optional<double> reduction_percent;  ///< 100 (1 - t_plan / t_one_core)
  std::optional<double> speedup_over_libtorch;
  std::optional<double> speedup_over_libtorch_tuned;
  std::optional<double> roof_fraction;
};
BenchRatios ratios(const BenchReport& report);

/// Means over the rounds; errors: of |expected - measured| / measured, and of what was predicted.
struct EstimateSummary {
  BenchEstimate mean;
  double error_percent = 0, predicted_error_percent = 0;
};
std::optional<EstimateSummary> estimate_summary(const BenchReport& report);

/// REQUIRES: values is not empty.
double median(std::vector<double> values);

std::string to_json(const BenchReport& report);
/// For people: a table of <= 100 columns.
std::string to_table(const BenchReport& report);

}  // namespace millrace::cli
