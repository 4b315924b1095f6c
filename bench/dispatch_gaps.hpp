#pragma once
// What the executor itself takes, of the measured tasks of a step.

#include <cstdint>
#include <vector>

#include "millrace/step_report.hpp"

namespace millrace::bench {

/// Before a task: how long its worker waited for what others make, and from when that was made (or
/// the worker was free, or the step began) until the task began.
struct DispatchGap {
  std::int64_t waited_ns = 0;
  std::int64_t gap_ns = 0;
};

/// One for each task of a step of `stages` stages. A forward pass takes what all workers of the
/// stage before made of the micro-batch, a backward pass what those behind did.
std::vector<DispatchGap> dispatch_gaps(const StepReport& report, int stages);

}  // namespace millrace::bench
