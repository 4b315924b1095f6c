#pragma once
// In which order each stage works through the micro-batches of a step. Schedules are data with a
// text form: "2F0" is stage 2, forward, micro-batch 0. Symbols as in plan.hpp.

#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// F forward, B backward, W weight gradient (of one micro-batch); R gradient reduction over the
/// replicas, U update of the weights (once per step, after the stage's last B and W). In a schedule
/// that has W, B makes the gradients that are handed back and W those of the weights; else B makes
/// both.
enum class ActionKind : char {
  forward = 'F',
  backward = 'B',
  weight = 'W',
  reduce = 'R',
  update = 'U'
};

/// Of one micro-batch: F, B and W.
constexpr bool has_micro_batch(ActionKind kind) {
  return kind == ActionKind::forward || kind == ActionKind::backward || kind == ActionKind::weight;
}

struct Action {
  int stage = 0;
  ActionKind kind = ActionKind::forward;
  int micro_batch = 0;  ///< 0 for reduce and update
  bool operator==(const Action&) const = default;
};

/// One step. A lane is a set of devices: actions[l] is what every worker of lane l does, in this
/// order. Each stage has a lane of its own, but under "interleaved", where a lane may have several.
///
///   1F1B, P = 2, M = 3:    stage 0  F0 F1    B0 F2 B1    B2 R U
///                          stage 1     F0 B0 F1 B1 F2 B2 R U
struct Schedule {
  std::string name;  ///< "fill-drain", "1f1b", "zero-bubble", "interleaved", "forward-only"
  int micro_batches = 0;
  std::vector<int> lanes;  ///< [stage]
  std::vector<std::vector<Action>> actions;
  bool operator==(const Schedule&) const = default;

  int stages() const { return static_cast<int>(lanes.size()); }
  /// What the stage's lane does.
  const std::vector<Action>& lane_of(int stage) const {
    return actions.at(static_cast<std::size_t>(lanes.at(static_cast<std::size_t>(stage))));
  }
  /// Whether it has W.
  bool splits_backward() const;
};

/// Names that make_schedule takes for training: {"fill-drain", "1f1b", "zero-bubble",
/// "interleaved"}.
const std::vector<std::string>& schedule_names();

/// Whether make_schedule(name, …) has W.
bool splits_backward(std::string_view name);

/// Whether make_schedule(name, …) has an order for several stages of one lane.
bool takes_shared_lanes(std::string_view name);

/// A lane for every stage: {0, 1, …}.
std::vector<int> own_lanes(int stages);

/// How many they are.
int count_lanes(const std::vector<int>& lanes);
/// Whether one has several stages.
inline bool shares_lanes(const std::vector<int>& lanes) {
  return count_lanes(lanes) < static_cast<int>(lanes.size());
}

/// P = stages >= 1, M = micro_batches >= 1; M may be below P. "forward-only" (evaluation) has no
/// backward, reduce or update. `lanes` by stage, numbered from 0 in the order of their first stage;
/// without it own_lanes(stages). Throws ConfigError (tag "schedule") for an unknown name, or stages
/// of one lane under a schedule that has no order for them.
Schedule make_schedule(std::string_view name, const std::vector<int>& lanes, int micro_batches);
Schedule make_schedule(std::string_view name, int stages, int micro_batches);

/// "2F0"; reduce and update have no micro-batch: "2R", "2U".
std::string to_text(const Action& action);
/// One line per lane, "0F0 0F1 0B0 …"; parse_schedule reads it back, equal. It checks the writing
/// (line s holds actions of stage s; of "interleaved" and "forward-only", each stage has one line),
/// validate() the order.
/// Throws ConfigError (tag "schedule") with the place.
std::string to_text(const Schedule& schedule);
Schedule parse_schedule(std::string_view text, std::string_view name);

/// Every action once, order per stage consistent with the dependencies, all reductions of a lane
/// before its updates, no deadlock, at most
/// `in_flight_limit` forwards without their backward, W included, on any stage (0: no limit).
/// Throws ConfigError (tag "schedule") that names the action and the rule.
void validate(const Schedule& schedule, int in_flight_limit = 0);

/// Most micro-batches whose forward has run and whose backward, W included, has not, on stage s.
int peak_in_flight(const Schedule& schedule, int stage);

/// Durations of one stage, ns. Vectors have one entry per micro-batch, or one entry for all.
struct StageTimes {
  std::vector<double> forward_ns;
  std::vector<double> backward_ns;
  std::vector<double> weight_gradient_ns;  ///< read where the schedule has W; empty: 0
  std::vector<double> send_forward_ns;     ///< link to the next stage; empty: 0
  std::vector<double> send_backward_ns;    ///< link to the previous stage; empty: 0
  double reduce_ns = 0;
  double update_ns = 0;
};

struct Span {
  Action action;
  double begin_ns = 0;
  double end_ns = 0;
  bool operator==(const Span&) const = default;
};

struct Timeline {
  std::vector<std::vector<Span>> stages;  ///< [stage][order]
  double makespan_ns = 0;
};

/// Event simulation of one step: an action starts when its stage is free and what it needs has
/// arrived. O(number of actions). Throws InternalError where the schedule deadlocks.
Timeline simulate(const Schedule& schedule, const std::vector<StageTimes>& times);

/// The same makespan without building spans: for searches.
double simulate_makespan_ns(const Schedule& schedule, const std::vector<StageTimes>& times);

/// Lower bound of the step under 1F1B (docs/schedules.md derives it), without reduction and update;
/// F_s, B_s equal for all micro-batches, c_s the link between s and s + 1 in each direction (empty:
/// none). O(P^2), whatever M. The second is the step under fill-drain without links, exact.
double bound_1f1b_ns(const std::vector<double>& forward_ns, const std::vector<double>& backward_ns,
                     const std::vector<double>& link_ns, int micro_batches);
double fill_drain_ns(const std::vector<double>& forward_ns, const std::vector<double>& backward_ns,
                     int micro_batches);

}  // namespace millrace
