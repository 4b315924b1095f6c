#include "controller/http/step_timeline.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "millrace/schedule.hpp"

namespace millrace {
namespace {

using nlohmann::ordered_json;
constexpr std::int64_t kTellable = 2000;  // parts of a step: about a pixel of a wide screen

using Row = std::pair<int, int>;  // lane, worker

/// Workers of each lane.
std::map<int, std::size_t> workers_of(const StepReport& step) {
  std::map<int, std::size_t> workers;
  for (const TaskSpan& task : step.tasks)
    workers[task.lane] = std::max(workers[task.lane], static_cast<std::size_t>(task.worker) + 1);
  return workers;
}

/// A lane's CPUs are shared out among its workers in order, each an equal part.
std::vector<int> cpus_of(const std::vector<int>& lane, std::size_t worker, std::size_t workers) {
  const std::size_t each = lane.size() / workers;
  const auto first = lane.begin() + static_cast<std::ptrdiff_t>(worker * each);
  return {first, first + static_cast<std::ptrdiff_t>(each)};
}

/// In order of their begin; the short ones joined.
std::vector<TaskSpan> visible(std::vector<TaskSpan> tasks, std::int64_t tellable_ns) {
  std::stable_sort(tasks.begin(), tasks.end(),
                   [](const TaskSpan& a, const TaskSpan& b) { return a.begin_ns < b.begin_ns; });
  std::vector<TaskSpan> kept;
  for (const TaskSpan& task : tasks) {
    const bool apart = kept.empty() || task.begin_ns - kept.back().begin_ns >= tellable_ns;
    if (apart || task.end_ns - task.begin_ns >= tellable_ns) {
      kept.push_back(task);
    } else {
      kept.back().end_ns = std::max(kept.back().end_ns, task.end_ns);
    }
  }
  return kept;
}

ordered_json tasks_json(const std::vector<TaskSpan>& tasks, std::int64_t origin_ns) {
  ordered_json list = ordered_json::array();
  for (const TaskSpan& task : tasks) {
    list.push_back({std::string(1, static_cast<char>(task.action.kind)), task.action.stage,
                    task.action.micro_batch, task.begin_ns - origin_ns, task.end_ns - origin_ns});
  }
  return list;
}

}  // namespace

std::string step_timeline(const std::vector<StageStatus>& stages, const StepReport& step) {
  std::map<Row, std::vector<TaskSpan>> tasks;
  for (const TaskSpan& task : step.tasks) tasks[{task.lane, task.worker}].push_back(task);
  std::map<int, std::size_t> workers = workers_of(step);
  ordered_json rows = ordered_json::array();
  for (auto& [row, own] : tasks) {
    const auto& [lane, worker] = row;
    const auto stage = static_cast<std::size_t>(own.front().action.stage);
    rows.push_back(
        {{"lane", lane},
         {"worker", worker},
         {"cpus", cpus_of(stages.at(stage).cpus, static_cast<std::size_t>(worker), workers[lane])},
         {"tasks",
          tasks_json(visible(std::move(own), step.wall_ns() / kTellable), step.begin_ns)}});
  }
  return ordered_json{{"step", step.step + 1}, {"wall_ns", step.wall_ns()}, {"rows", rows}}.dump() +
         "\n";
}

}  // namespace millrace
