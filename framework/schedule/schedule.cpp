#include "millrace/schedule.hpp"

#include <algorithm>
#include <numeric>
#include <string>

#include "framework/schedule/interleaved.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

using Actions = std::vector<Action>;

void add_range(Actions& actions, int stage, ActionKind kind, int first, int last) {
  for (int m = first; m < last; ++m) actions.push_back({stage, kind, m});
}

/// Empty, with room for `passes` passes, reduction and update.
Actions room_for(int passes, int micro_batches) {
  Actions actions;
  actions.reserve(static_cast<std::size_t>(passes) * static_cast<std::size_t>(micro_batches) + 2);
  return actions;
}

/// Both passes go through the micro-batches in ascending order, so that every schedule sums the
/// gradients in the same order and gives the same bits.
///
///   P = 3, M = 4, F = B = 1, no links:
///     stage 0  F0 F1 F2 F3 .. .. .. .. B0 B1 B2 B3
///     stage 1  .. F0 F1 F2 F3 .. .. B0 B1 B2 B3
///     stage 2  .. .. F0 F1 F2 F3 B0 B1 B2 B3
Actions fill_drain(int stage, int micro_batches) {
  Actions actions = room_for(2, micro_batches);
  add_range(actions, stage, ActionKind::forward, 0, micro_batches);
  add_range(actions, stage, ActionKind::backward, 0, micro_batches);
  return actions;
}

/// Warm-up: as many forwards as stages follow, this one included; then a backward frees the place
/// that the next forward takes, so that never more than min(M, P - s) are in flight.
///
///   P = 3, M = 4, F = B = 1, no links:
///     stage 0  F0 F1 F2 .. .. B0 F3 B1 .. B2 .. B3
///     stage 1  .. F0 F1 .. B0 F2 B1 F3 B2 .. B3
///     stage 2  .. .. F0 B0 F1 B1 F2 B2 F3 B3
Actions one_forward_one_backward(int stage, int stages, int micro_batches) {
  const int warm_up = std::min(micro_batches, stages - stage);
  Actions actions = room_for(2, micro_batches);
  add_range(actions, stage, ActionKind::forward, 0, warm_up);
  for (int m = 0; m < micro_batches; ++m) {
    actions.push_back({stage, ActionKind::backward, m});
    if (m + warm_up < micro_batches) {
      actions.push_back({stage, ActionKind::forward, m + warm_up});
    }
  }
  return actions;
}

/// 1F1B with the weight gradient apart, after Qi et al. (ZB-H1). Stage s runs W as many
/// micro-batches behind B as there are stages before it. The later stages, whose B the others wait
/// for, begin it soonest and are left with W at the end, while the last B goes up. Never more than
/// min(M, P) are in flight: P - s between F and B, s between B and W.
///
///   P = 3, M = 4, F = B = W = 1, no links:
///     stage 0  F0 F1 F2 .. .. B0 W0 F3 B1 W1 B2 W2 B3 W3
///     stage 1  .. F0 F1 .. B0 F2 B1 W0 F3 B2 W1 B3 W2 W3
///     stage 2  .. .. F0 B0 F1 B1 F2 B2 W0 F3 B3 W1 W2 W3
Actions zero_bubble(int stage, int stages, int micro_batches) {
  const int warm_up = std::min(micro_batches, stages - stage);
  Actions actions = room_for(3, micro_batches);
  add_range(actions, stage, ActionKind::forward, 0, warm_up);
  for (int m = 0; m < micro_batches; ++m) {
    actions.push_back({stage, ActionKind::backward, m});
    if (m >= stage) actions.push_back({stage, ActionKind::weight, m - stage});
    if (m + warm_up < micro_batches) {
      actions.push_back({stage, ActionKind::forward, m + warm_up});
    }
  }
  add_range(actions, stage, ActionKind::weight, std::max(0, micro_batches - stage), micro_batches);
  return actions;
}

Actions passes(std::string_view name, int stage, int stages, int micro_batches) {
  if (name == "1f1b") return one_forward_one_backward(stage, stages, micro_batches);
  if (splits_backward(name)) return zero_bubble(stage, stages, micro_batches);
  return fill_drain(stage, micro_batches);
}

std::vector<Actions> all_passes(std::string_view name, const std::vector<int>& lanes,
                                int micro_batches) {
  if (takes_shared_lanes(name)) return interleaved(lanes, micro_batches, name != "forward-only");
  const auto stages = static_cast<int>(lanes.size());
  std::vector<Actions> result;
  for (int s = 0; s < stages; ++s) result.push_back(passes(name, s, stages, micro_batches));
  return result;
}

/// Once per step: the reductions of all its stages, then the updates.
void add_step_end(const std::vector<int>& lanes, std::vector<Actions>& actions) {
  const auto stages = static_cast<int>(lanes.size());
  for (const ActionKind kind : {ActionKind::reduce, ActionKind::update})
    for (int s = 0; s < stages; ++s)
      actions[static_cast<std::size_t>(lanes[static_cast<std::size_t>(s)])].push_back({s, kind, 0});
}

void check_lanes(std::string_view name, const std::vector<int>& lanes) {
  int next = 0;
  for (const int lane : lanes) {
    MILLRACE_CHECK(lane >= 0 && lane <= next, "schedule",
                   "lanes are numbered from 0 in the order of their first stage");
    next = std::max(next, lane + 1);
  }
  if (!shares_lanes(lanes) || takes_shared_lanes(name)) return;
  throw ConfigError("schedule", std::to_string(lanes.size()) + " stages share " +
                                    std::to_string(next) + " sets of devices, and \"" +
                                    std::string(name) +
                                    "\" runs one stage on each: take interleaved");
}

void check_request(std::string_view name, const std::vector<int>& lanes, int micro_batches) {
  const auto& names = schedule_names();
  if (name != "forward-only" && std::find(names.begin(), names.end(), name) == names.end()) {
    throw ConfigError("schedule",
                      "\"" + std::string(name) +
                          "\" is no schedule: take fill-drain, 1f1b, zero-bubble or interleaved "
                          "(forward-only for evaluation)");
  }
  if (lanes.empty() || micro_batches < 1) {
    throw ConfigError("schedule", std::to_string(lanes.size()) + " stages and " +
                                      std::to_string(micro_batches) +
                                      " micro-batches make no step: at least 1 of each is needed");
  }
  check_lanes(name, lanes);
}

}  // namespace

const std::vector<std::string>& schedule_names() {
  static const std::vector<std::string> names = {"fill-drain", "1f1b", "zero-bubble",
                                                 "interleaved"};
  return names;
}

bool splits_backward(std::string_view name) { return name == "zero-bubble"; }

bool takes_shared_lanes(std::string_view name) {
  return name == "interleaved" || name == "forward-only";
}

bool Schedule::splits_backward() const {
  return std::any_of(actions.begin(), actions.end(), [](const Actions& stage) {
    return std::any_of(stage.begin(), stage.end(),
                       [](const Action& action) { return action.kind == ActionKind::weight; });
  });
}

std::vector<int> own_lanes(int stages) {
  std::vector<int> lanes(static_cast<std::size_t>(std::max(0, stages)));
  std::iota(lanes.begin(), lanes.end(), 0);
  return lanes;
}

int count_lanes(const std::vector<int>& lanes) {
  return lanes.empty() ? 0 : 1 + *std::max_element(lanes.begin(), lanes.end());
}

Schedule make_schedule(std::string_view name, const std::vector<int>& lanes, int micro_batches) {
  check_request(name, lanes, micro_batches);
  Schedule schedule{std::string(name), micro_batches, lanes,
                    all_passes(name, lanes, micro_batches)};
  if (name != "forward-only") add_step_end(lanes, schedule.actions);
  return schedule;
}

Schedule make_schedule(std::string_view name, int stages, int micro_batches) {
  return make_schedule(name, own_lanes(stages), micro_batches);
}

int peak_in_flight(const Schedule& schedule, int stage) {
  const ActionKind last = schedule.splits_backward() ? ActionKind::weight : ActionKind::backward;
  int in_flight = 0, peak = 0;
  for (const Action& action : schedule.lane_of(stage)) {
    if (action.stage != stage) continue;
    if (action.kind == ActionKind::forward) peak = std::max(peak, ++in_flight);
    if (action.kind == last) --in_flight;
  }
  return peak;
}

}  // namespace millrace
