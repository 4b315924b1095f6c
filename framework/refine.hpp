#pragma once
// The best few plans tried on the machine.

#include <vector>

#include "millrace/train_step.hpp"

namespace millrace {

/// A plan with what the costs say of a step and what a step took.
struct TriedPlan {
  Plan plan;
  double predicted_ns = 0, measured_ns = 0;
};

/// The plan whose steps were the fastest, with costs that are corrected by what was measured: a
/// step under it is predicted as it was.
struct RefinedPlan {
  Profile costs;
  Plan plan;
  std::vector<TriedPlan> tried;  ///< in the search's order
};

/// Tries the `count` best plans of different forms for a few steps each, in turn, on `batch` (of
/// settings.plan.batch samples) with a learning rate of 0: weights and running statistics are
/// afterwards what they were. Throws as TrainStep::prepare.
RefinedPlan refine(const Model& model, const MeasuredProfile& measured,
                   const TrainSettings& settings, int count, const Batch& batch);

}  // namespace millrace
