#pragma once
// Stages put together: what simulate takes, the value of a whole candidate and its memory.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "framework/plan/cost_model.hpp"
#include "millrace/schedule.hpp"

namespace millrace {

/// One stage of a candidate with what it costs under one batching.
struct StageOption {
  StageShape shape;
  ShareGroups shares;
  StageCost cost;
};

using Stages = std::span<const StageOption* const>;

std::vector<const StageOption*> pointers(const std::vector<StageOption>& stages);

/// One micro-batch under a schedule that runs the weights' gradients apart, or does not: then they
/// are part of the backward.
struct Passes {
  double forward_ns = 0, backward_ns = 0, weight_gradient_ns = 0;

  double trip_ns() const { return forward_ns + backward_ns; }
  double all_ns() const { return forward_ns + backward_ns + weight_gradient_ns; }
};

inline Passes passes(const MicroBatchTimes& times, bool apart) {
  if (!apart) return {times.forward_ns, times.backward_ns, 0};
  return {times.forward_ns, times.input_gradient_ns, times.weight_gradient_ns};
}

/// What stage s has to do after its last backward but for reduction and update: where the weights'
/// gradients run apart, those of min(M, s + 1) micro-batches, the last one among them.
double waiting_ns(const StageCost& cost, const Batching& batching, int s, bool apart);

/// Fills what simulate takes of a schedule that runs the weights' gradients apart, or does not;
/// `times` keeps its memory between calls.
void fill_times(Stages stages, const Batching& batching, bool apart,
                std::vector<StageTimes>& times);

/// On stage s of P, between forward and backward: M micro-batches under fill-drain, min(M, P - s)
/// under 1F1B and zero-bubble, none without a backward ("forward-only"); between backward and the
/// weights' gradients: min(M, s + 1) under zero-bubble.
InFlight in_flight(const std::string& schedule, int stages, int stage, std::int64_t micro_batches);
/// The same by stage, on any lanes.
std::vector<InFlight> in_flight(const Schedule& schedule);

/// RAM of all stages.
double pipeline_bytes(Stages stages, const Batching& batching, std::span<const InFlight> flights);

/// The first lane, by number, that breaks a budget of one of its devices.
struct BrokenLane {
  int lane = 0;
  BrokenBudget budget;
};
std::optional<BrokenLane> broken_budget(const CostModel& model, Stages stages,
                                        const std::vector<int>& lanes, const Batching& batching,
                                        std::span<const InFlight> flights);

/// The largest load of a device for one full micro-batch, a lane for every stage.
double period_ns(Stages stages);
/// The same on any lanes; of a lane of several stages on unlike devices at most that much: the
/// slowest device of each stage.
double period_ns(Stages stages, const std::vector<int>& lanes);

/// Passes::trip_ns of some stages, at least: of a full micro-batch and of the last one.
struct RoundTrip {
  double full_ns = 0, last_ns = 0;
};

/// Time that a stage must wait within its own part of the step, where the round trip behind it
/// takes `trip` and W micro-batches may be between its forward and backward: from the end of the
/// first forward to the first backward, with W - 1 more forwards in between; for the last one
/// likewise, with W - 1 more backwards, each with the weights' gradients of one micro-batch. Where
/// all forwards come first (W = M), the two waits are the same one.
double idle_ns(const StageCost& cost, const Batching& batching, int W, const RoundTrip& trip,
               bool apart);

/// Lower bound of the makespan when `stages` are the first ones of a pipeline of `all` stages, as
/// known from them alone; in_flight() micro-batches may be between forward and backward.
///
///   stage s  ........ F0 F1 ........ B0 F2 B1 ....... B2 ......
///            head_s      wait for the      wait for the    tail_s
///                        round trip of 0   round trip of M-1
double makespan_bound_ns(Stages stages, int all, const Batching& batching,
                         const std::string& schedule, const RoundTrip& behind);

}  // namespace millrace
