#include <string>

#include "framework/schedule/event_loop.hpp"
#include "millrace/errors.hpp"
#include "millrace/schedule.hpp"

namespace millrace {
namespace {

constexpr const char* kTag = "schedule";

void check_count(const std::vector<double>& values, int micro_batches) {
  MILLRACE_CHECK(values.size() <= 1 || values.size() == static_cast<std::size_t>(micro_batches),
                 kTag, "a stage's times need one entry for all micro-batches or one for each");
}

void check_times(const Schedule& schedule, const std::vector<StageTimes>& times) {
  MILLRACE_CHECK(times.size() == schedule.lanes.size(), kTag, "times of every stage are needed");
  for (const StageTimes& stage : times) {
    check_count(stage.forward_ns, schedule.micro_batches);
    check_count(stage.backward_ns, schedule.micro_batches);
    check_count(stage.weight_gradient_ns, schedule.micro_batches);
    check_count(stage.send_forward_ns, schedule.micro_batches);
    check_count(stage.send_backward_ns, schedule.micro_batches);
  }
}

/// Searches simulate thousands of small schedules: the buffers stay with the thread.
EventLoop& event_loop() {
  static thread_local EventLoop loop;
  return loop;
}

}  // namespace

void EventLoop::prepare(const Schedule& schedule, const std::vector<StageTimes>& times) {
  check_times(schedule, times);
  lanes_.clear();
  for (const std::vector<Action>& actions : schedule.actions)
    lanes_.push_back({actions.data(), actions.data() + actions.size(), 0});
  const auto P = schedule.lanes.size();
  const auto M = static_cast<std::size_t>(schedule.micro_batches);
  arrivals_.assign((2 * P + 1) * M, kNotArrived);
  std::fill_n(arrivals_.begin(), M, 0.0);  // the samples are there when the step begins
  double* const forward_rows = arrivals_.data();
  double* const backward_rows = forward_rows + P * M;
  double* const unread_row = backward_rows + P * M;
  stages_.resize(P);
  for (std::size_t s = 0; s < P; ++s) {
    const bool last = s + 1 == P;
    StageState& stage = stages_[s];
    stage.forward_input = forward_rows + s * M;
    stage.backward_input = backward_rows + s * M;
    stage.forward_output = last ? backward_rows + s * M : forward_rows + (s + 1) * M;
    stage.backward_output = s == 0 ? unread_row : backward_rows + (s - 1) * M;
    stage.forward = TimesView(times[s].forward_ns);
    stage.backward = TimesView(times[s].backward_ns);
    stage.weight_gradient = TimesView(times[s].weight_gradient_ns);
    stage.send_forward = last ? TimesView() : TimesView(times[s].send_forward_ns);
    stage.send_backward = TimesView(times[s].send_backward_ns);
    stage.reduce_ns = times[s].reduce_ns;
    stage.update_ns = times[s].update_ns;
  }
}

double EventLoop::makespan_ns() const {
  double latest = 0;
  for (const LaneState& lane : lanes_) latest = std::max(latest, lane.clock_ns);
  return latest;
}

const Action* EventLoop::blocked(int lane) const {
  const LaneState& state = lanes_[static_cast<std::size_t>(lane)];
  return state.next == state.end ? nullptr : state.next;
}

Timeline simulate(const Schedule& schedule, const std::vector<StageTimes>& times) {
  Timeline timeline;
  timeline.stages.resize(schedule.lanes.size());
  EventLoop& loop = event_loop();
  const bool done = loop.run(schedule, times, [&](const Action& action, double begin, double end) {
    timeline.stages[static_cast<std::size_t>(action.stage)].push_back({action, begin, end});
  });
  MILLRACE_CHECK(done, kTag, "a schedule that deadlocks was simulated");
  timeline.makespan_ns = loop.makespan_ns();
  return timeline;
}

double simulate_makespan_ns(const Schedule& schedule, const std::vector<StageTimes>& times) {
  EventLoop& loop = event_loop();
  const bool done = loop.run(schedule, times, [](const Action&, double, double) {});
  MILLRACE_CHECK(done, kTag, "a schedule that deadlocks was simulated");
  return loop.makespan_ns();
}

}  // namespace millrace
