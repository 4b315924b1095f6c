#pragma once
// A training as the controller drives it: batches of a data set through a prepared step.

#include <optional>

#include "controller/cli/torch/training_data.hpp"
#include "controller/session.hpp"
#include "millrace/train_step.hpp"

namespace millrace::cli {

/// One caller at a time, as TrainStep.
class ModelSession : public TrainingSession {
 public:
  /// Prepares the step (profile, plan, workers) and begins to decode. The estimate's costs get the
  /// data set's decoding. Throws as TrainStep::prepare and Loader do.
  ModelSession(const Model& model, const TrainSettings& settings, TrainingData data,
               const RunConfig& config);

  StepReport train_next() override;
  bool state_is_whole() const override { return step_.state_is_whole(); }
  StepReport rehearse_next() override;
  void end_rehearsal() override;
  Evaluation evaluate(const std::function<bool()>& goes_on) override;

  const Plan& plan() const override { return step_.plan(); }
  const Profile& profile() const override { return profile_; }
  std::optional<PlanOffer> offer_plan(std::optional<std::int64_t> memory_bytes) override;
  void take_plan(const Plan& plan, const Profile& costs) override;

  std::int64_t steps_per_epoch() const override { return loader_->steps_per_epoch(); }
  std::int64_t training_samples() const override { return data_.train->size(); }
  std::int64_t validation_samples() const override;
  void seek(std::int64_t step) override;

  std::vector<SessionTensor> state() override;
  void hold_updates(std::function<void()> until) override { step_.hold_updates(std::move(until)); }
  LoaderWaits loader_waits() const override;
  std::int64_t skipped_images() const override { return loader_->skipped(); }

  bool costs_are_doubted() const { return step_.costs_are_doubted(); }
  TrainStep& step() { return step_; }

 private:
  LoaderSettings lean(LoaderSettings settings) const;
  void renew_loader();
  void keep_waits();  // of the loader that is renewed

  TrainingData data_;
  RunConfig config_;
  TrainStep step_;
  Profile profile_;
  bool short_of_memory_ = false;
  std::optional<Loader> loader_;  ///< decodes where the plan leaves room
  LoaderWaits waits_before_;      ///< of the loaders of earlier plans
};

/// Loss and accuracy over the validation set, loaded by `settings`, as TrainingSession::evaluate;
/// empty: to its end.
Evaluation evaluate_all(TrainStep& step, const TrainingData& data, const LoaderSettings& settings,
                        const std::function<bool()>& goes_on = {});

}  // namespace millrace::cli
