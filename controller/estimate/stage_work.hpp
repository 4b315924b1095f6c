#pragma once
// A plan's stages for a step of any number of samples: micro-batches, durations, link times.

#include <cstdint>
#include <vector>

#include "millrace/plan.hpp"
#include "millrace/profile.hpp"
#include "millrace/schedule.hpp"

namespace millrace {

/// Samples of each micro-batch of a step of `samples` samples: b, …, b, rest.
std::vector<std::int64_t> micro_batches_of(const Plan& plan, std::int64_t samples);

/// Durations of every stage, one entry per micro-batch. A full micro-batch takes what the plan
/// says, a smaller one that times the ratio of the profile's costs (of the samples, where the
/// profile does not know the stage's layers).
std::vector<StageTimes> stage_times(const Profile& profile, const Plan& plan,
                                    const std::vector<std::int64_t>& micro_batches);

}  // namespace millrace
