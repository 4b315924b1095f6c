#pragma once
// metrics.jsonl: one JSON object per line, as the training goes.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>

#include "controller/session.hpp"
#include "millrace/estimate.hpp"

namespace millrace {

/// Loss, speed and time are means over the steps since the line before (at most the last 100).
struct StepMetrics {
  std::int64_t step = 0;   ///< steps trained so far, over the whole run
  std::int64_t epoch = 0;  ///< 0-based, of that step
  double loss = 0;
  double images_per_second = 0;
  double step_ns = 0;
  double learning_rate = 0;
  std::int64_t wall_ns = 0;  ///< time of the run so far, over all its processes
  TimeEstimate remaining;
};

/// Another plan, taken between two steps.
struct PlanChange {
  std::int64_t step = 0;        ///< trained under the plan before
  std::string reason;           ///< which cores became faster or slower
  double step_ns = 0;           ///< as the last steps took under the plan before; 0: not known
  double expected_step_ns = 0;  ///< under the new one
};

/// A step that failed and is trained again.
struct FailedStep {
  std::int64_t step = 0;    ///< trained before those that make up for it
  std::int64_t failed = 0;  ///< the step that did, 1-based
  std::string reason;
};

/// Gets what metrics.jsonl gets of steps and evaluations.
class MetricsSink {
 public:
  virtual ~MetricsSink() = default;
  virtual void add(const StepMetrics& metrics) = 0;
  virtual void add(std::int64_t step, const Evaluation& evaluation) = 0;
};

/// Lines {"kind": "step", …}, {"kind": "evaluation", …}, {"kind": "plan", …} and
/// {"kind": "failure", …}; each is in the file when the call returns. Not thread-safe.
class MetricsLog {
 public:
  /// Keeps the lines of steps up to `step` (a line that was cut short ends what is kept) and
  /// appends; 0 begins a new file. Throws ResourceError (tag "metrics").
  MetricsLog(const std::filesystem::path& path, std::int64_t step);

  /// Of the evaluations that were kept, one for each step, in order.
  const std::map<std::int64_t, double>& kept_accuracies() const { return accuracies_; }

  void add(const StepMetrics& metrics);
  void add(std::int64_t step, std::int64_t epoch, const Evaluation& evaluation);
  void add(const PlanChange& change);
  void add(const FailedStep& failure);

 private:
  void add_line(const std::string& line);

  std::filesystem::path path_;
  std::ofstream stream_;
  std::map<std::int64_t, double> accuracies_;
};

}  // namespace millrace
