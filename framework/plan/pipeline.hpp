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

}  // namespace millrace
