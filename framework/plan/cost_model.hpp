#pragma once
// What a stage costs: docs/costs.md, "What a plan costs", in code. Symbols as in plan.hpp; cuts and
// positions as in cuts.hpp. A stage runs what cut `last` has more than `first`.

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "framework/plan/device_states.hpp"
#include "framework/plan/layer_sums.hpp"
#include "framework/plan/shares.hpp"
#include "framework/plan/stage_shape.hpp"
#include "millrace/plan.hpp"
#include "millrace/profile.hpp"

namespace millrace {

/// Time that a device's link takes for one micro-batch.
struct LinkTimes {
  double in_forward_ns = 0, out_forward_ns = 0;    ///< activations
  double in_backward_ns = 0, out_backward_ns = 0;  ///< gradients
};

/// Times of one micro-batch on a stage: the slowest of its workers. Serial transfers are part of
/// forward and backward, overlapped ones are apart.
struct MicroBatchTimes {
  double forward_ns = 0, backward_ns = 0;
  LinkTimes links;
  /// The backward part where the schedule runs the weights' gradients apart; together at least
  /// backward_ns.
  double input_gradient_ns = 0, weight_gradient_ns = 0;
};

/// Micro-batches that a stage keeps something of: between forward and backward, and between that
/// and the weights' gradients.
struct InFlight {
  int backward = 0, weights = 0;
  bool operator==(const InFlight&) const = default;
};

/// Whether the backward part runs whole, or with the weights' gradients apart; either is asked for.
struct BackwardForms {
  bool whole = true, apart = false;
  /// Of the samples' weight gradients, those that every stage makes before its last backward.
  double early_weights = 0;

  bool has(bool split) const { return split ? apart : whole; }
};

/// Device time per sample at the very least.
struct LeastTimes {
  double compute_ns = std::numeric_limits<double>::infinity();  ///< all of it
  double back_ns = compute_ns;  ///< what comes before the last gradient is handed back
};

struct StageCost {
  MicroBatchTimes full, rest;
  double load_ns =
      0;  ///< of the busiest device, one full micro-batch; only for the objective period
  double reduce_ns = 0, update_ns = 0;
  double fixed_bytes = 0;   ///< weights, gradients, momentum, scratch, and SavedBytes::fixed
  double flight_bytes = 0;  ///< per sample in flight
  double kept_bytes = 0;    ///< per sample that waits for its weights' gradients
};

/// What a stage keeps of a sample for its backward pass.
struct SavedBytes {
  double flight = 0;  ///< from forward on
  double fixed = 0;   ///< beside it in the micro-batch whose backward pass runs: what is made again
};

/// A budget of one device that a stage breaks.
struct BrokenBudget {
  std::string kind;
  double needed_bytes = 0, budget_bytes = 0;
};

/// Immutable; thread-safe.
class CostModel {
 public:
  /// counts[k]: devices of kind k that may be used. The profile must outlive the model.
  /// Throws ConfigError (tag "plan") for what plan_graph refuses, or where the kinds are too many.
  CostModel(const Profile& profile, const std::vector<int>& counts, Objective objective);

  const Profile& profile() const { return profile_; }
  Objective objective() const { return objective_; }
  const DeviceStates& states() const { return states_; }
  const LayerSums& sums() const { return sums_; }
  const Cuts& cuts() const { return sums_.cuts; }
  /// Memory that the sums of the costs take, about.
  std::int64_t bytes() const { return sums_.bytes(); }
  /// Whether the costs of some layer's backward part are known in two.
  bool splits_backward() const { return sums_.splits_backward; }
  const PlanGraph& graph() const { return sums_.graph; }
  int layers() const { return static_cast<int>(sums_.graph.order.size()); }
  const LayerCosts& layer(int position) const {
    return profile_.layers[sums_.graph.order[position]];
  }

  StageShape shape(int first, int last, int state, Split split, int width, bool sole) const;
  /// The ways to run a stage on `state` that are allowed, none recomputed.
  std::vector<StageShape> shapes(int first, int last, int state, bool sole) const;
  /// True where the costs and the layers allow the shape.
  bool allows(const StageShape& shape) const;
  /// "" where it is allowed; else the rule that forbids it.
  std::string why_not(const StageShape& shape) const;
  int replicas(const StageShape& shape) const;
  /// No device of the state has memory of its own.
  bool shares_memory(int state) const;
  /// Shares of a full micro-batch of `samples`, the slowest replica as fast as can be.
  /// REQUIRES why_not(shape) == "" and samples >= replicas(shape).
  ShareGroups best_shares(const StageShape& shape, std::int64_t samples) const;
  ShareGroups even_shares(const StageShape& shape, std::int64_t samples) const;

  StageCost cost(const StageShape& shape, const Batching& batching,
                 const ShareGroups& shares) const;
  /// Of the busiest device, one full micro-batch.
  double load_ns(const StageShape& shape, const Batching& batching,
                 const ShareGroups& shares) const;

  /// Forward of one layer on a replica. REQUIRES: it is not divided by features.
  double forward_ns(const StageShape& shape, int kind, std::int64_t samples, int position) const;

  /// RAM of a stage with up to `in_flight` micro-batches.
  static double memory_bytes(const StageCost& cost, const Batching& batching,
                             const InFlight& in_flight);
  /// RAM that layers need in any stage: what is kept of their weights.
  double least_bytes(int first, int last) const;
  /// What a device of the group keeps of the stage.
  double device_bytes(const StageShape& shape, const Batching& batching, const ShareGroup& group,
                      const InFlight& in_flight) const;
  /// The first kind whose own budget the stage breaks.
  std::optional<BrokenBudget> broken_budget(const StageShape& shape, const Batching& batching,
                                            const ShareGroups& shares,
                                            const InFlight& in_flight) const;

  /// Part of the stage's weights that one device of each kind updates, by kind: all devices take
  /// the same time. Equal parts where a kind's updates are not known.
  std::vector<double> update_parts(const StageShape& shape) const;

  /// Part of the output features of what Split::features divides that a device of the kind
  /// computes. Devices of several kinds take the same time for a full micro-batch of `samples`;
  /// equal parts where that is 0.
  double feature_part(const StageShape& shape, int kind, std::int64_t samples) const;

  /// Device time that a layer takes with up to `most` samples, in any split, its forward and
  /// backward part even with other samples; infinity where the kind cannot run it.
  LeastTimes least_ns_per_sample(int position, int kind, std::int64_t most, bool sole,
                                 const BackwardForms& forms) const;
  /// Device time of a layer's update at the very least.
  double least_update_ns(int position, int kind, bool sole) const;

 private:
  /// One replica's times for its `samples` of a micro-batch of `whole` samples, without slices.
  MicroBatchTimes replica_times(const StageShape& shape, int kind, std::int64_t samples,
                                std::int64_t whole) const;
  LinkTimes link_times(const StageShape& shape, int kind, std::int64_t samples) const;
  std::array<ShareCurve, kMostKinds> share_curves(const StageShape& shape) const;
  std::pair<Line, Line> link_lines(const StageShape& shape, int kind) const;
  double load_ns(const MicroBatchTimes& times) const;
  MicroBatchTimes slowest(const StageShape& shape, const Batching& batching,
                          const ShareGroups& shares, std::int64_t samples) const;
  bool others_busy(const StageShape& shape, int team) const;
  /// The slowest device's time for its part; `sums` and `parts` by kind.
  double divided_ns(const std::vector<NumberSums>& sums, const std::vector<double>& parts,
                    const StageShape& shape, int first, int last) const;
  FeatureRun feature_run(int first, int last, int state) const;
  /// Forward and backward of a device's slices for `samples` of micro-batches of `full`.
  std::pair<double, double> slices_ns(const StageShape& shape, int kind, std::int64_t full,
                                      std::int64_t samples) const;
  /// The slowest device's slices: no device goes on before all have theirs.
  void add_slices(const StageShape& shape, std::int64_t full, std::int64_t samples,
                  MicroBatchTimes& times) const;
  bool has_costs(const StageShape& shape, int first, int last) const;
  void add_step_end(const StageShape& shape, StageCost& cost) const;
  void add_memory(const StageShape& shape, const Batching& batching, const ShareGroups& shares,
                  StageCost& cost) const;
  bool covers_singles(const StageShape& shape, int first, int last) const;
  std::string why_not(const StageShape& shape, int position, bool sliced) const;
  double workspace_bytes(const StageShape& shape, std::int64_t own, std::int64_t whole) const;
  double input_bytes(const StageShape& shape) const;
  SavedBytes saved_bytes(const StageShape& shape, double saved) const;
  SavedBytes partly_saved_bytes(const StageShape& shape) const;
  double weight_gradient_bytes(const StageShape& shape) const;

  const Profile& profile_;
  Objective objective_;
  DeviceStates states_;
  LayerSums sums_;
};

}  // namespace millrace
