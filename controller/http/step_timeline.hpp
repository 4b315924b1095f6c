#pragma once
// One step as the page draws it: what each worker did when.

#include <string>
#include <vector>

#include "controller/run_status.hpp"
#include "millrace/step_report.hpp"

namespace millrace {

/// {"step": 7, "wall_ns": …, "rows": [{"lane": 0, "worker": 0, "cpus": [0], "tasks":
/// [["F", stage, micro-batch, begin_ns, end_ns], …]}, …]}, the step counted from 1, times since
/// its begin, in order.
/// Tasks too short to be seen are drawn with the one before them, so that a row has a bounded
/// number.
std::string step_timeline(const std::vector<StageStatus>& stages, const StepReport& step);

}  // namespace millrace
