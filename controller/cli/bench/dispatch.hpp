#pragma once
// `bench --dispatch`: what the executor takes for tasks that do nothing. Pure values.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace millrace::cli {

/// From the moment at which a task could begin until it did.
struct DispatchRow {
  std::string name;  ///< of the pipeline
  std::int64_t tasks = 0;
  double median_ns = 0, p99_ns = 0;
  std::optional<double> core_share;  ///< that all its workers take while they wait
};

struct DispatchReport {
  std::vector<int> cpus;
  std::vector<DispatchRow> rows;
};

std::string to_json(const DispatchReport& report);
std::string to_table(const DispatchReport& report);

}  // namespace millrace::cli
