#include <string>

#include "framework/schedule/event_loop.hpp"
#include "millrace/errors.hpp"
#include "millrace/schedule.hpp"

namespace millrace {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw ConfigError("schedule", message); }

/// Checks one stage by itself: every action once, each after what it needs on this stage.
class StageCheck {
 public:
  StageCheck(const Schedule& schedule, int stage)
      : stage_(stage),
        micro_batches_(schedule.micro_batches),
        trains_(schedule.name != "forward-only"),
        splits_backward_(schedule.splits_backward()) {
    for (const Action& action : schedule.lane_of(stage))
      if (action.stage == stage) actions_.push_back(action);
  }

  void run(int in_flight_limit) {
    check_count();
    forwards_.assign(static_cast<std::size_t>(micro_batches_), false);
    backwards_ = weights_ = forwards_;
    for (const Action& action : actions_) {
      check_place(action);
      if (action.kind == ActionKind::forward) forward(action, in_flight_limit);
      if (action.kind == ActionKind::backward) backward(action);
      if (action.kind == ActionKind::weight) weight(action);
      if (action.kind == ActionKind::reduce) reduce(action);
      if (action.kind == ActionKind::update) update(action);
    }
    check_complete();
  }

 private:
  /// Before anything is sized by M: a huge micro-batch number is a typo, not a memory request.
  void check_count() const {
    const auto forwards = static_cast<std::size_t>(micro_batches_);
    const std::size_t passes = splits_backward_ ? 3 : 2;
    const std::size_t wanted = trains_ ? passes * forwards + 2 : forwards;
    if (actions_.size() < wanted) {
      refuse("stage " + std::to_string(stage_) + " has " + std::to_string(actions_.size()) +
             " actions, " + std::to_string(micro_batches_) + " micro-batches need " +
             std::to_string(wanted) + ": each action must be there once");
    }
  }

  void check_place(const Action& action) const {
    if (action.micro_batch < 0 || action.micro_batch >= micro_batches_) {
      refuse(to_text(action) + " is of micro-batch " + std::to_string(action.micro_batch) +
             ", the step has " + std::to_string(micro_batches_) + " (0 is the first)");
    }
    if (!trains_ && action.kind != ActionKind::forward) {
      refuse(to_text(action) + " stands in a forward-only schedule: it has forwards only");
    }
    if (updated_) refuse(to_text(action) + " comes after the update: U is a stage's last action");
  }

  void forward(const Action& action, int limit) {
    mark(forwards_, action);
    ++in_flight_;
    if (trains_ && limit > 0 && in_flight_ > limit) {
      refuse(to_text(action) + " is number " + std::to_string(in_flight_) +
             " in flight on its stage, the limit is " + std::to_string(limit) +
             ": run a backward first or raise the limit");
    }
  }

  void backward(const Action& action) {
    mark(backwards_, action);
    if (!forwards_[static_cast<std::size_t>(action.micro_batch)]) {
      refuse(to_text(action) + " comes before its forward: move it behind");
    }
    if (reduced_) refuse(to_text(action) + " comes after the reduction: R follows every backward");
    if (!splits_backward_) --in_flight_;
    ++backwards_done_;
  }

  void weight(const Action& action) {
    mark(weights_, action);
    if (!backwards_[static_cast<std::size_t>(action.micro_batch)]) {
      refuse(to_text(action) + " comes before its backward: move it behind");
    }
    if (reduced_) refuse(to_text(action) + " comes after the reduction: R follows every W");
    --in_flight_;
    ++weights_done_;
  }

  void reduce(const Action& action) {
    if (reduced_) refuse(to_text(action) + " is there twice: each action must be there once");
    if (backwards_done_ != micro_batches_) {
      refuse(to_text(action) + " comes after " + std::to_string(backwards_done_) + " of " +
             std::to_string(micro_batches_) + " backwards: R follows every backward");
    }
    if (splits_backward_ && weights_done_ != micro_batches_) {
      refuse(to_text(action) + " comes after " + std::to_string(weights_done_) + " of " +
             std::to_string(micro_batches_) + " weight gradients: R follows every W");
    }
    reduced_ = true;
  }

  void update(const Action& action) {
    if (!reduced_) refuse(to_text(action) + " comes before the reduction: U follows R");
    updated_ = true;
  }

  void mark(std::vector<bool>& done, const Action& action) const {
    const auto m = static_cast<std::size_t>(action.micro_batch);
    if (done[m]) refuse(to_text(action) + " is there twice: each action must be there once");
    done[m] = true;
  }

  void check_complete() const {
    for (int m = 0; m < micro_batches_; ++m) {
      if (!forwards_[static_cast<std::size_t>(m)]) missing({stage_, ActionKind::forward, m});
    }
    if (trains_ && !updated_) missing({stage_, ActionKind::update, 0});
  }

  [[noreturn]] static void missing(const Action& action) {
    refuse(to_text(action) + " is missing: each action must be there once");
  }

  int stage_;
  int micro_batches_;
  bool trains_;
  bool splits_backward_;
  std::vector<Action> actions_;
  std::vector<bool> forwards_, backwards_, weights_;
  int in_flight_ = 0;
  int backwards_done_ = 0, weights_done_ = 0;
  bool reduced_ = false;
  bool updated_ = false;
};

/// Lanes that there are, with actions of their own stages alone.
void check_lanes(const Schedule& schedule) {
  const auto lanes = static_cast<int>(schedule.actions.size());
  for (const int lane : schedule.lanes)
    MILLRACE_CHECK(lane >= 0 && lane < lanes, "schedule",
                   "a stage is on a lane that the schedule does not have");
  for (int l = 0; l < lanes; ++l) {
    for (const Action& action : schedule.actions[static_cast<std::size_t>(l)]) {
      const bool known = action.stage >= 0 && action.stage < schedule.stages();
      if (known && schedule.lanes[static_cast<std::size_t>(action.stage)] == l) continue;
      refuse(to_text(action) + " stands on lane " + std::to_string(l) + ", which stage " +
             std::to_string(action.stage) + " is not of: a lane runs its own stages only");
    }
  }
}

/// On every lane all reductions come before the updates: what needs the gradients of all stages
/// (clipping) can stand between them.
void check_step_end(const std::vector<Action>& lane) {
  bool updates = false;
  for (const Action& action : lane) {
    if (updates && action.kind != ActionKind::update)
      refuse(to_text(action) + " comes after an update: U are a lane's last actions");
    updates = action.kind == ActionKind::update;
  }
}

void check_deadlock(const Schedule& schedule) {
  EventLoop loop;
  const std::vector<StageTimes> no_times(schedule.lanes.size());
  if (loop.run(schedule, no_times, [](const Action&, double, double) {})) return;
  std::string waiting;
  for (int l = 0; l < static_cast<int>(schedule.actions.size()); ++l) {
    const Action* blocked = loop.blocked(l);
    if (blocked != nullptr) waiting += (waiting.empty() ? "" : ", ") + to_text(*blocked);
  }
  refuse("the stages wait for each other at " + waiting +
         ": a stage must run what its neighbours need before it waits for them");
}

}  // namespace

void validate(const Schedule& schedule, int in_flight_limit) {
  if (schedule.stages() < 1 || schedule.micro_batches < 1) {
    refuse("the schedule has " + std::to_string(schedule.stages()) + " stages and " +
           std::to_string(schedule.micro_batches) + " micro-batches: at least 1 of each is needed");
  }
  check_lanes(schedule);
  for (int s = 0; s < schedule.stages(); ++s) StageCheck(schedule, s).run(in_flight_limit);
  for (const std::vector<Action>& lane : schedule.actions) check_step_end(lane);
  check_deadlock(schedule);
}

}  // namespace millrace
