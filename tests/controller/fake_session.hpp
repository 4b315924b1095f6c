#pragma once
// A training without tensors or time: the state after a step follows from the state before it and
// the step's number, and a clock that only the session moves.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "controller/session.hpp"
#include "controller/training_observer.hpp"
#include "controller/training_run.hpp"

namespace millrace {

class FakeSession : public TrainingSession {
 public:
  static constexpr std::int64_t kStep_ns = 720;  ///< as the example plan's estimate says
  static constexpr std::int64_t kEvaluation_ns = 500;
  static constexpr std::int64_t kBatch = 16;

  /// Epochs of `steps_per_epoch` steps, the last of which has `last_samples` (16: full).
  explicit FakeSession(std::int64_t steps_per_epoch = 4, std::int64_t last_samples = kBatch);

  /// Steps, and the costs that foretell them, are `factor` times as long.
  void scale(std::int64_t factor);

  std::function<void(std::int64_t step)> before_step;    ///< step trained next; may throw
  std::function<void(std::int64_t step)> amid_update;    ///< the same, when half is changed
  std::function<double(std::int64_t step)> accuracy_at;  ///< empty: rises with the step
  std::function<void()> on_state;                        ///< whenever the state is asked for
  std::int64_t diverges_at = -1;                         ///< the loss of this step is not a number
  std::int64_t validation = 50;
  std::int64_t clock_ns = 0;

  StepReport train_next() override;
  bool state_is_whole() const override { return whole_; }
  StepReport rehearse_next() override;
  void end_rehearsal() override;
  Evaluation evaluate(const std::function<bool()>& goes_on) override;
  const Plan& plan() const override { return plan_; }
  const Profile& profile() const override { return profile_; }
  std::optional<PlanOffer> offer_plan(std::optional<std::int64_t> memory_bytes) override;
  void take_plan(const Plan& plan, const Profile& costs) override;
  std::int64_t steps_per_epoch() const override { return steps_per_epoch_; }
  std::int64_t training_samples() const override {
    return (steps_per_epoch_ - 1) * kBatch + last_samples_;
  }
  std::int64_t validation_samples() const override { return validation; }
  void seek(std::int64_t step) override {
    step_ = step;
    whole_ = true;
  }
  std::vector<SessionTensor> state() override;
  void hold_updates(std::function<void()> until) override { hold_ = std::move(until); }
  LoaderWaits loader_waits() const override { return {3, 40, 1, 5}; }
  std::int64_t skipped_images() const override { return 5; }

  std::int64_t trained() const { return step_; }  ///< steps
  const std::vector<float>& weights() const { return weights_; }
  const std::vector<float>& momentum() const { return momentum_; }
  std::function<std::optional<PlanOffer>()> offers;   ///< empty: nothing is known of the cores
  std::function<double(std::int64_t step)> slowness;  ///< by which a step is longer; empty: 1
  std::vector<std::int64_t> limits;                   ///< of memory, that offers were asked for
  bool cannot_take = false;                           ///< another plan
  std::function<void()> on_take;                      ///< amid taking one
  std::vector<std::pair<std::int64_t, Plan>> taken;   ///< plans, with the steps before them
  std::int64_t rehearsed = 0, rehearsals_ended = 0;
  std::vector<std::int64_t> evaluations;  ///< steps at which evaluate() was called

 private:
  const std::int64_t steps_per_epoch_, last_samples_;
  Plan plan_;
  Profile profile_;
  std::int64_t step_ = 0, step_ns_ = kStep_ns;
  bool whole_ = true;
  std::function<void()> hold_;
  std::vector<float> weights_, momentum_;
};

/// All times `factor` times as long.
Profile longer(Profile profile, double factor);

/// Notes what it is told.
struct RecordingObserver : TrainingObserver {
  void started(const TrainingProgress& at, const Estimate& estimate) override;
  void stepped(const TrainingProgress& progress) override { steps.push_back(progress); }
  void evaluated(const TrainingProgress& progress, const Evaluation&) override {
    evaluated_steps.push_back(progress.step);
  }
  /// Of the file: the training has gone on when the disk has it.
  void saved(const TrainingProgress&, const std::filesystem::path& file) override;

  TrainingProgress start;
  Estimate first;
  std::vector<TrainingProgress> steps;
  std::vector<std::int64_t> evaluated_steps, saved_steps;
};

/// For `session`'s clock; ends after `steps`.
TrainingSettings fake_settings(FakeSession& session, std::int64_t steps);

}  // namespace millrace
