#pragma once
// Notices that steps take another time than they did under the same plan. Pure.

#include <cstdint>
#include <optional>
#include <vector>

#include "millrace/step_report.hpp"

namespace millrace {

/// Not thread-safe.
class DriftWatch {
 public:
  /// A full step of the plan: its tasks, and its time with all that it waited for.
  void observe(const StepReport& report, std::int64_t wall_ns);
  /// Another plan is in force.
  void forget() { *this = DriftWatch(); }
  /// The last steps' time is the usual one from now on.
  void accept() {
    if (!last_.empty()) first_ = last_;
  }

  /// Whether the last steps' time, or the work of a worker in them, has left the band about that of
  /// the first ones: more than kBand times as much, or less than 1 / kBand.
  bool has_drifted() const;
  /// Median of the first steps, and of the last ones; empty before there are enough of them.
  std::optional<double> first_step_ns() const { return step_ns(first_); }
  std::optional<double> last_step_ns() const { return step_ns(last_); }

  static constexpr double kBand = 1.2;

 private:
  /// Of one step or, by median, of a few: the wall time, then by worker its work.
  using Load = std::vector<double>;

  static std::optional<double> step_ns(const Load& load) {
    return load.empty() ? std::nullopt : std::optional(load.front());
  }

  bool warm_ = false;         // the first step of a plan takes longer
  std::vector<Load> window_;  // since the last median
  double window_ns_ = 0;
  Load first_, last_;
};

}  // namespace millrace
