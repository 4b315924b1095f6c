#pragma once
// The event simulation that simulate, simulate_makespan_ns and validate share.
// Symbols: stage s of P, micro-batch m of M.

#include <algorithm>
#include <cstddef>
#include <vector>

#include "millrace/schedule.hpp"

namespace millrace {

/// One value per micro-batch, or one for all; nothing is 0 for all.
class TimesView {
 public:
  TimesView() = default;
  explicit TimesView(const std::vector<double>& values)
      : values_(values.empty() ? &kZero : values.data()), stride_(values.size() > 1 ? 1 : 0) {}
  double operator[](int m) const { return values_[static_cast<std::size_t>(m) * stride_]; }

 private:
  static constexpr double kZero = 0;
  const double* values_ = &kZero;
  std::size_t stride_ = 0;
};

/// Works through a schedule: every lane runs its actions in order, each as soon as the lane is
/// free and what the action needs has arrived. Sweeps over the lanes down and up again follow the
/// flow of activations and gradients, so that nearly every visit finds work: O(actions).
///
/// REQUIRES: actions of stages in 0..P-1, micro-batches in 0..M-1, times vectors of 0, 1 or M
/// entries. An instance keeps its buffers over runs; one thread at a time.
class EventLoop {
 public:
  /// Calls on_action(action, begin_ns, end_ns) for each action in an order in which they may run.
  /// False where the schedule deadlocks.
  template <typename OnAction>
  bool run(const Schedule& schedule, const std::vector<StageTimes>& times, OnAction on_action);

  /// End of the last action that ran.
  double makespan_ns() const;
  /// The action that the lane could not run; nullptr where it ran all.
  const Action* blocked(int lane) const;

 private:
  /// A lane's place in its order.
  struct LaneState {
    const Action* next = nullptr;
    const Action* end = nullptr;
    double clock_ns = 0;
  };

  /// What a stage needs at hand: its durations and the rows of arrival times (indexed by
  /// micro-batch) that it reads and writes.
  struct StageState {
    const double* forward_input = nullptr;
    const double* backward_input = nullptr;
    double* forward_output = nullptr;
    double* backward_output = nullptr;
    TimesView forward, backward, weight_gradient, send_forward, send_backward;
    double reduce_ns = 0, update_ns = 0;
  };

  void prepare(const Schedule& schedule, const std::vector<StageTimes>& times);

  /// Runs actions of one lane until one must wait; true where any ran.
  template <typename OnAction>
  bool advance(LaneState& lane, OnAction& on_action) const;

  static constexpr double kNotArrived = -1;
  std::vector<LaneState> lanes_;
  std::vector<StageState> stages_;
  std::vector<double> arrivals_;  // rows of M: P forward inputs, P backward inputs, one unread
};

template <typename OnAction>
bool EventLoop::advance(LaneState& lane, OnAction& on_action) const {
  const Action* const first = lane.next;
  for (; lane.next != lane.end; ++lane.next) {
    const Action& action = *lane.next;
    const StageState& stage = stages_[static_cast<std::size_t>(action.stage)];
    const int m = action.micro_batch;
    double begin = lane.clock_ns;
    if (action.kind == ActionKind::forward) {
      if (stage.forward_input[m] == kNotArrived) break;
      begin = std::max(begin, stage.forward_input[m]);
      lane.clock_ns = begin + stage.forward[m];
      stage.forward_output[m] = lane.clock_ns + stage.send_forward[m];
    } else if (action.kind == ActionKind::backward) {
      if (stage.backward_input[m] == kNotArrived) break;
      begin = std::max(begin, stage.backward_input[m]);
      lane.clock_ns = begin + stage.backward[m];
      stage.backward_output[m] = lane.clock_ns + stage.send_backward[m];
    } else if (action.kind == ActionKind::weight) {
      lane.clock_ns = begin + stage.weight_gradient[m];
    } else {
      lane.clock_ns += action.kind == ActionKind::reduce ? stage.reduce_ns : stage.update_ns;
    }
    on_action(action, begin, lane.clock_ns);
  }
  return lane.next != first;
}

template <typename OnAction>
bool EventLoop::run(const Schedule& schedule, const std::vector<StageTimes>& times,
                    OnAction on_action) {
  prepare(schedule, times);
  for (bool any = true; any;) {
    any = false;
    for (auto lane = lanes_.begin(); lane != lanes_.end(); ++lane) {
      any |= advance(*lane, on_action);
    }
    for (auto lane = lanes_.rbegin(); lane != lanes_.rend(); ++lane) {
      any |= advance(*lane, on_action);
    }
  }
  return std::all_of(lanes_.begin(), lanes_.end(),
                     [](const LaneState& lane) { return lane.next == lane.end; });
}

}  // namespace millrace
