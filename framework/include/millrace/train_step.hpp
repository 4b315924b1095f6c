#pragma once
// The whole flow for one model on this machine: prepare once, then step once per batch.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "millrace/model.hpp"
#include "millrace/optimizer.hpp"
#include "millrace/plan.hpp"
#include "millrace/profile.hpp"
#include "millrace/profiler.hpp"
#include "millrace/schedule.hpp"
#include "millrace/state.hpp"
#include "millrace/step_report.hpp"
#include "millrace/topology.hpp"

namespace millrace {

/// One batch: inputs [N, sample_shape…], float32 or token ids in int64 (Model::vocabulary); targets
/// [N] int64, [N, positions] where the model's output has positions, or what the loss takes.
struct Batch {
  torch::Tensor inputs;
  torch::Tensor targets;
};

struct TrainSettings {
  TopologyRequest machine;
  std::string cores = "all";
  /// --cores of the kept profile that offers of other plans start from, where a plan is given; "":
  /// those of `cores`. Offers keep to CPUs that `cores` lists by number.
  std::string measured_cores;
  ProfileRequest profile;
  PlanRequest plan;
  std::optional<Plan> given_plan;  ///< trained as it is, after check_plan
  /// With given_plan: the costs that it was made for. Nothing is measured or searched then.
  std::optional<Profile> given_costs;
  double reserved_bytes = 0;  ///< of the memory budget: what the caller keeps, such as batches
  OptimizerSettings optimizer;
  LearningRateSchedule learning_rate;
  std::uint64_t seed = 1;  ///< of the random layers' masks; weights are the model's own
};

/// A prepared training step. Not thread-safe: one caller at a time; it owns its worker threads.
class TrainStep {
 public:
  /// topology -> profile -> plan -> schedule -> stages -> executor. Throws ConfigError,
  /// NoPlanError, ResourceError as the steps do.
  static TrainStep prepare(const Model& model, const TrainSettings& settings);

  TrainStep(TrainStep&&) noexcept;
  TrainStep& operator=(TrainStep&&) noexcept;
  ~TrainStep();

  /// Trains one batch of at most plan().batch samples (a smaller last batch of an epoch is right,
  /// too). The first exception of a worker is rethrown here; weights are then those before the
  /// step, which can be trained again, or, if an update had begun, undefined (load a checkpoint):
  /// state_is_whole() tells which.
  StepReport step(const Batch& batch);
  bool state_is_whole() const;

  /// No step updates weights or optimizer state, and no other plan is taken, before `until` has
  /// returned, which is called on any thread, by several at once; empty: at any time. It must not
  /// throw. So the state can be copied while the next step runs.
  void hold_updates(std::function<void()> until);

  /// A step as step() does it, for its time: the weights stay, and the next one is not counted.
  /// REQUIRES: end_rehearsal() before a step that counts.
  StepReport rehearse(const Batch& batch);
  /// Running statistics are what they were, the optimizer's state is that of a new training.
  void end_rehearsal();

  /// Loss and correct answers of a batch of any size up to plan().batch, nothing learned; random
  /// layers are off.
  StepReport evaluate(const Batch& batch);

  /// Outputs [N, classes] of a batch, random layers off.
  torch::Tensor predict(const torch::Tensor& inputs);

  /// What the search finds for the cores as fast as they are now, which takes 0.3 s of probing. No
  /// step may run. Empty where nothing is known of how fast they were: a given plan, whose costs
  /// this machine has not kept. `memory_bytes`: that its plan takes at most. Throws NoPlanError
  /// where no plan fits.
  std::optional<PlanOffer> offer_plan(std::optional<std::int64_t> memory_bytes = {});
  /// Goes on under another plan: weights, optimizer state and the number of the next step stay.
  /// Throws as prepare() does for a given plan: the earlier plan is then in force, unless that
  /// fails, too, for want of memory or threads, and no step can be trained any more.
  void take_plan(const Plan& plan, const Profile& costs);

  const Topology& topology() const;
  const Profile& profile() const;
  /// The profile was, when it was reused (MeasuredProfile::doubted).
  bool costs_are_doubted() const;
  const Plan& plan() const;
  const Schedule& schedule() const;

  /// Number of the next step (0 at the start); masks and learning rate follow from it. Who sets it
  /// says that the state is the one before it.
  std::int64_t next_step() const;
  void set_next_step(std::int64_t step);

  /// Weights and optimizer state, for checkpoints; names are stable over plans.
  std::vector<StateTensor> state();

 private:
  struct Parts;
  explicit TrainStep(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace
