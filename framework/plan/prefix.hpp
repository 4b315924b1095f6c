#pragma once
// What is known of a pipeline when its first stages are fixed, and bounds of whatever follows them.

#include <string>

#include "framework/plan/bounds.hpp"
#include "framework/plan/pipeline.hpp"
#include "framework/plan/rest_table.hpp"
#include "framework/plan/stage_bound.hpp"

namespace millrace {

struct Prefix {
  int cut = 0;          ///< of the layers that have a stage
  int state_left = 0;   ///< devices not used yet
  double head_ns = 0;   ///< before this the first micro-batch has not arrived
  double tail_ns = 0;   ///< from the next stage's last backward to the end of the step, at least
  double bound_ns = 0;  ///< of the whole step, so far
  double bytes = 0;
};

/// Bounds are of ns per step (period: in the steady state). All that it is made from outlives it.
class PrefixBounds {
 public:
  PrefixBounds(const CostModel& model, const SearchSpace& space, const BalanceBound& bound,
               const StageBound& stage_bound, const RestTable& rests)
      : model_(model),
        space_(space),
        bound_(bound),
        stage_bound_(stage_bound),
        rests_(rests),
        forms_(space.backward_forms()) {}

  /// Of the step where the last stage, on `state`, has all the layers that are left.
  double last_ns(const Prefix& prefix, int state) const;
  /// Of the step where the next stage, on `part`, goes up to cut `last`, which is not the whole;
  /// infinity where the table has no rest for it.
  double cut_ns(const Prefix& prefix, int part, int last) const;

  /// What is known once the last of the chosen stages follows `prefix`.
  Prefix with_stage(const Prefix& prefix, Stages chosen, const Batching& batching) const;
  /// Stages that a pipeline may have that begins with `chosen` stages.
  int most_stages(const Prefix& prefix, std::size_t chosen) const;

  /// Whether the budgets may still hold.
  bool may_fit(const Prefix& prefix, Stages chosen, const Batching& batching) const;
  /// Whether they do for a complete plan.
  bool fits(Stages chosen, const Batching& batching, const std::string& schedule) const;

 private:
  bool period() const { return space_.objective == Objective::period; }
  double rest_ns(const Prefix& prefix, const Rest& rest) const;
  double step_ns(const Prefix& prefix, const Rest& rest, Stages chosen,
                 const Batching& batching) const;
  InFlight least_in_flight(const Prefix& prefix, const Batching& batching) const;
  double tail_ns(const Prefix& prefix, const StageCost& cost, int s,
                 const Batching& batching) const;

  const CostModel& model_;
  const SearchSpace& space_;
  const BalanceBound& bound_;
  const StageBound& stage_bound_;
  const RestTable& rests_;
  const BackwardForms forms_;
};

}  // namespace millrace
