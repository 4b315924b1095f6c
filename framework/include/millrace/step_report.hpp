#pragma once
// What one step did and how long it took: measured times, loss, trace.

#include <cstdint>
#include <string>
#include <vector>

#include "millrace/schedule.hpp"

namespace millrace {

/// One task as it ran. Times are ns on the steady clock since the executor was made.
struct TaskSpan {
  Action action;
  int lane = 0;    ///< of the action's stage; see Schedule
  int worker = 0;  ///< within the lane
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;
  std::int64_t waited_ns = 0;  ///< of that, for other workers of its stage

  std::int64_t busy_ns() const { return end_ns - begin_ns - waited_ns; }
};

struct StepReport {
  std::int64_t step = 0;  ///< 0-based number of the step
  std::int64_t samples = 0;
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;
  /// Mean over the samples: in training of what is minimised, auxiliary outputs by their weights
  /// included; in evaluation of the model's output alone.
  double loss = 0;
  std::int64_t answers = 0;  ///< labels asked for: one a sample, or one a position of it
  /// Those where the label is the largest of the model's output; 0 with an own loss.
  std::int64_t correct = 0;
  double gradient_norm = 0;  ///< global norm before clipping; 0 where clipping is off
  std::vector<TaskSpan> tasks;

  std::int64_t wall_ns() const { return end_ns - begin_ns; }
};

}  // namespace millrace
