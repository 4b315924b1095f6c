#pragma once
// A training as the controller sees it: batches, weights and tensors hidden, so that the run loop
// is tested on fakes. The program's implementation lives in cli/.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "millrace/plan.hpp"
#include "millrace/profile.hpp"
#include "millrace/safetensors.hpp"
#include "millrace/step_report.hpp"

namespace millrace {

struct Evaluation {
  std::int64_t samples = 0;
  double loss = 0;      ///< mean
  double accuracy = 0;  ///< share of correct answers, 0..1
  std::int64_t wall_ns = 0;
};

/// A float32 tensor that a checkpoint holds, writable in place.
struct SessionTensor {
  TensorView view;
  void* destination = nullptr;  ///< where a restore writes; same memory as view.data
};

/// What was waited for so far.
struct LoaderWaits {
  std::int64_t waits = 0, wait_ns = 0;  ///< a batch was not decoded when a step could have begun
  std::int64_t disk_waits = 0, disk_wait_ns = 0;  ///< of decoding, for files not in memory yet
};

class TrainingSession {
 public:
  virtual ~TrainingSession() = default;

  /// Trains the next batch; the report's times and loss are filled. Throws as TrainStep::step.
  virtual StepReport train_next() = 0;
  /// After train_next() threw: whether the state is the one before that step, which seek() and
  /// train_next() then train again.
  virtual bool state_is_whole() const = 0;
  /// The same for its time alone, before the first step: nothing is learnt.
  virtual StepReport rehearse_next() = 0;
  /// As if no step had been rehearsed.
  virtual void end_rehearsal() = 0;
  /// The validation set, to its end or until `goes_on`, asked after each batch, says no; samples =
  /// 0 where there is none.
  virtual Evaluation evaluate(const std::function<bool()>& goes_on) = 0;

  virtual const Plan& plan() const = 0;
  virtual const Profile& profile() const = 0;
  /// As TrainStep has them: the plan for the cores as fast as they are now, and going on under it.
  virtual std::optional<PlanOffer> offer_plan(std::optional<std::int64_t> memory_bytes) = 0;
  virtual void take_plan(const Plan& plan, const Profile& costs) = 0;

  virtual std::int64_t steps_per_epoch() const = 0;
  virtual std::int64_t training_samples() const = 0;    ///< per epoch
  virtual std::int64_t validation_samples() const = 0;  ///< per evaluation
  /// Continues before step `step` of the run: data order, masks and learning rate follow from it.
  virtual void seek(std::int64_t step) = 0;

  /// Weights and optimizer state, in place.
  virtual std::vector<SessionTensor> state() = 0;
  /// As TrainStep has it.
  virtual void hold_updates(std::function<void()> until) = 0;
  virtual LoaderWaits loader_waits() const = 0;
  /// Broken images that were left out so far.
  virtual std::int64_t skipped_images() const = 0;
};

}  // namespace millrace
