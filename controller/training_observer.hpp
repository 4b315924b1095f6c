#pragma once
// What a run tells while it goes on.

#include <cstdint>
#include <filesystem>
#include <optional>

#include "controller/session.hpp"
#include "millrace/estimate.hpp"

namespace millrace {

/// After a step. Loss and speed are means over the last few steps.
struct TrainingProgress {
  std::int64_t step = 0;                  ///< steps trained, over the whole run
  std::optional<std::int64_t> last_step;  ///< absent: the run ends by time or deadline
  double fraction = 0;                    ///< of the run, 0..1
  std::int64_t epoch = 0;                 ///< 0-based
  double loss = 0;
  double images_per_second = 0;
  TimeEstimate remaining;
  std::int64_t elapsed_ns = 0;              ///< of the run, over all its processes
  std::optional<std::int64_t> deadline_ns;  ///< in the same time
};

/// Called by the run's thread, between steps.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  /// Before the first step. `first`: the estimate for what is left of the run.
  virtual void started(const TrainingProgress& at, const Estimate& first) = 0;
  virtual void stepped(const TrainingProgress& progress) = 0;
  virtual void evaluated(const TrainingProgress& progress, const Evaluation& evaluation) = 0;
  virtual void saved(const TrainingProgress& progress, const std::filesystem::path& file) = 0;
};

}  // namespace millrace
