#pragma once
// A stage that computes some of its layers again: the fewest, by their time, that its memory asks
// for.

#include <cstddef>
#include <optional>

#include "framework/plan/pipeline.hpp"

namespace millrace {

struct Recomputed {
  StageOption option;
  double slack_ns = 0;  ///< another choice may take so much less of a step, at the very most
};

/// `plain`, whose stage is the plan's only one, with the layers computed again that let a step take
/// at most `bytes`: those that take the least time together. Nothing where none are enough; where
/// features are split, several micro-batches in flight, devices of several kinds or with memory of
/// their own, or more than 1,000 layers.
///
/// By dynamic programming over the layers in their order: what is kept up to a layer, and the time
/// of what is not, of which no worse pair is followed. Where the pairs are too many, some are left
/// out: about `most_work` are looked at, some 10 ns each.
std::optional<Recomputed> recomputed_within(const CostModel& model, const StageOption& plain,
                                            const Batching& batching, const InFlight& flight,
                                            double bytes, std::size_t most_work = 8'000'000);

/// The least that a step of such a stage takes; that of `plain` where nothing is computed again.
double least_recomputed_bytes(const CostModel& model, const StageOption& plain,
                              const Batching& batching, const InFlight& flight);

}  // namespace millrace
