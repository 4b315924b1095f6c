#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "framework/execute/executor.hpp"

namespace millrace {
namespace {

using nlohmann::json;

// Processes of the trace: the steps, then the lanes. Viewers keep process and thread 0 for the
// idle task, so numbers start at 1.
constexpr int kStepsProcess = 1;
int process_of(int lane) { return lane + 2; }
int thread_of(int worker) { return worker + 1; }

const char* name_of(ActionKind kind) {
  switch (kind) {
    case ActionKind::forward:
      return "forward";
    case ActionKind::backward:
      return "backward";
    case ActionKind::weight:
      return "weight gradient";
    case ActionKind::reduce:
      return "reduce";
    case ActionKind::update:
      return "update";
  }
  return "";
}

json complete_event(const std::string& name, const char* category, int process, int thread,
                    std::int64_t begin_ns, std::int64_t end_ns) {
  return {{"ph", "X"},
          {"name", name},
          {"cat", category},
          {"pid", process},
          {"tid", thread},
          {"ts", static_cast<double>(begin_ns) / 1e3},  // the format counts microseconds
          {"dur", static_cast<double>(end_ns - begin_ns) / 1e3}};
}

json task_event(const StepReport& step, const TaskSpan& task) {
  json event =
      complete_event(to_text(task.action), name_of(task.action.kind), process_of(task.lane),
                     thread_of(task.worker), task.begin_ns, task.end_ns);
  event["args"] = {{"step", step.step}, {"micro_batch", task.action.micro_batch}};
  return event;
}

json name_event(const char* what, int process, int thread, const std::string& name) {
  return {
      {"ph", "M"}, {"name", what}, {"pid", process}, {"tid", thread}, {"args", {{"name", name}}}};
}

}  // namespace

std::string to_chrome_trace(const std::vector<StepReport>& reports) {
  json events = json::array();
  events.push_back(name_event("process_name", kStepsProcess, 1, "steps"));
  std::set<std::pair<int, int>> rows;   // lane, worker
  std::map<int, std::set<int>> stages;  // by lane
  for (const StepReport& report : reports) {
    events.push_back(complete_event(fmt::format("step {}", report.step), "step", kStepsProcess, 1,
                                    report.begin_ns, report.end_ns));
    for (const TaskSpan& task : report.tasks) {
      rows.emplace(task.lane, task.worker);
      stages[task.lane].insert(task.action.stage);
      events.push_back(task_event(report, task));
    }
  }
  for (const auto& [lane, worker] : rows) {
    const std::set<int>& own = stages[lane];
    events.push_back(
        name_event("process_name", process_of(lane), thread_of(worker),
                   fmt::format("stage{} {}", own.size() > 1 ? "s" : "", fmt::join(own, ", "))));
    events.push_back(name_event("thread_name", process_of(lane), thread_of(worker),
                                fmt::format("worker {}", worker)));
  }
  return json{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}}.dump() + "\n";
}

}  // namespace millrace
