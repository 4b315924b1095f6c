#include "bench/dispatch_gaps.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

namespace millrace::bench {
namespace {

/// Kind, stage, micro-batch.
using Pass = std::tuple<ActionKind, int, int>;

/// Whose results the action takes; none for those of its own worker alone.
std::optional<Pass> producer_of(const Action& action, int stages) {
  const int step = action.kind == ActionKind::forward ? -1 : 1, stage = action.stage + step;
  const bool pass = action.kind == ActionKind::forward || action.kind == ActionKind::backward;
  if (!pass || stage < 0 || stage >= stages) return std::nullopt;
  return Pass{action.kind, stage, action.micro_batch};
}

}  // namespace

std::vector<DispatchGap> dispatch_gaps(const StepReport& report, int stages) {
  std::map<Pass, std::int64_t> made;  // by all workers
  for (const TaskSpan& task : report.tasks) {
    std::int64_t& end = made[{task.action.kind, task.action.stage, task.action.micro_batch}];
    end = std::max(end, task.end_ns);
  }
  std::map<std::pair<int, int>, std::int64_t> free_from;  // by lane and worker
  std::vector<DispatchGap> gaps;
  for (const TaskSpan& task : report.tasks) {
    std::int64_t& free =
        free_from.try_emplace({task.lane, task.worker}, report.begin_ns).first->second;
    const auto producer = producer_of(task.action, stages);
    const std::int64_t ready = producer ? std::max(free, made.at(*producer)) : free;
    gaps.push_back({ready - free, task.begin_ns - ready});
    free = task.end_ns;
  }
  return gaps;
}

}  // namespace millrace::bench
