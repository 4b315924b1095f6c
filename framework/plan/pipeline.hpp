#pragma once
// Stages put together: what simulate takes, the value of a whole candidate and its memory.

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

/// Fills what simulate takes; `times` keeps its memory between calls.
void fill_times(Stages stages, const Batching& batching, std::vector<StageTimes>& times);

/// Micro-batches between forward and backward on stage s of P: M under fill-drain, min(M, P - s)
/// under 1F1B, none without a backward ("forward-only").
int in_flight(const std::string& schedule, int stages, int stage, std::int64_t micro_batches);

/// RAM of all stages under a schedule.
double pipeline_bytes(Stages stages, const Batching& batching, const std::string& schedule);

/// The largest load of a device for one full micro-batch.
double period_ns(Stages stages);

/// Forward and backward of the stages that are not chosen yet, at least: of a full micro-batch and
/// of the last one.
struct RoundTrip {
  double full_ns = 0, last_ns = 0;
};

/// Time that a stage must wait within its own part of the step, where the round trip behind it
/// takes `trip` and W micro-batches may be between its forward and backward: from the end of the
/// first forward to the first backward, with W - 1 more forwards in between; for the last one
/// likewise. Where all forwards come first (W = M), the two waits are the same one.
double idle_ns(const StageCost& cost, const Batching& batching, int W, const RoundTrip& trip);

/// Lower bound of the makespan when `stages` are the first ones of a pipeline of `all` stages, as
/// known from them alone; `in_flight_limit(s)` micro-batches may be between forward and backward.
///
///   stage s  ........ F0 F1 ........ B0 F2 B1 ....... B2 ......
///            head_s      wait for the      wait for the    tail_s
///                        round trip of 0   round trip of M-1
double makespan_bound_ns(Stages stages, int all, const Batching& batching,
                         const std::string& schedule, const RoundTrip& behind);

}  // namespace millrace
