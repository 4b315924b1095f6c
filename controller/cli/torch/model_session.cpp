#include "controller/cli/torch/model_session.hpp"

#include <chrono>
#include <utility>

namespace millrace::cli {
namespace {

Profile with_decoding(Profile profile, std::optional<double> ns_per_sample) {
  profile.loader_ns_per_sample = ns_per_sample;
  return profile;
}

}  // namespace

ModelSession::ModelSession(const Model& model, const TrainSettings& settings, TrainingData data,
                           const RunConfig& config)
    : data_(std::move(data)),
      config_(config),
      step_(TrainStep::prepare(model, settings)),
      profile_(with_decoding(step_.profile(), ns_per_sample(*data_.train, config_.seed))),
      loader_(std::in_place, data_.train, training_loader(config_, step_)) {}

/// Where memory is short, no batch is decoded ahead.
LoaderSettings ModelSession::lean(LoaderSettings settings) const {
  if (short_of_memory_) settings.look_ahead = 0;
  return settings;
}

void ModelSession::renew_loader() {
  LoaderSettings settings = lean(training_loader(config_, step_));
  settings.known_broken = loader_->broken();
  loader_.emplace(data_.train, std::move(settings));
  loader_->seek(step_.next_step());
}

StepReport ModelSession::train_next() { return step_.step(*loader_->next()); }

StepReport ModelSession::rehearse_next() { return step_.rehearse(*loader_->next()); }

void ModelSession::end_rehearsal() {
  step_.end_rehearsal();
  renew_loader();
}

std::optional<PlanOffer> ModelSession::offer_plan(std::optional<std::int64_t> memory_bytes) {
  if (memory_bytes && !std::exchange(short_of_memory_, true)) {
    keep_waits();
    renew_loader();
  }
  auto offer = step_.offer_plan(memory_bytes);
  if (offer) offer->costs.loader_ns_per_sample = profile_.loader_ns_per_sample;
  return offer;
}

void ModelSession::take_plan(const Plan& plan, const Profile& costs) {
  step_.take_plan(plan, costs);
  profile_ = with_decoding(step_.profile(), profile_.loader_ns_per_sample);
  keep_waits();
  renew_loader();
}

void ModelSession::keep_waits() { waits_before_ = loader_waits(); }

LoaderWaits ModelSession::loader_waits() const {
  const DiskWaits disk = loader_->disk_waits();
  return {waits_before_.waits + loader_->waits(), waits_before_.wait_ns + loader_->wait_ns(),
          waits_before_.disk_waits + disk.count, waits_before_.disk_wait_ns + disk.ns};
}

Evaluation ModelSession::evaluate(const std::function<bool()>& goes_on) {
  return evaluate_all(step_, data_, lean(validation_loader(config_, step_)), goes_on);
}

std::int64_t ModelSession::validation_samples() const {
  return data_.validation ? data_.validation->size() : 0;
}

void ModelSession::seek(std::int64_t step) {
  step_.set_next_step(step);
  loader_->seek(step);
}

std::vector<SessionTensor> ModelSession::state() {
  std::vector<SessionTensor> tensors;
  for (StateTensor& tensor : step_.state()) {
    const std::int64_t bytes = tensor.elements * static_cast<std::int64_t>(sizeof(float));
    tensors.push_back({{std::move(tensor.name), "F32", std::move(tensor.shape), tensor.data, bytes},
                       tensor.data});
  }
  return tensors;
}

Evaluation evaluate_all(TrainStep& step, const TrainingData& data, const LoaderSettings& settings,
                        const std::function<bool()>& goes_on) {
  Evaluation total;
  if (!data.validation) return total;
  const auto begin = std::chrono::steady_clock::now();
  Loader loader(data.validation, settings);
  double loss_sum = 0;
  std::int64_t correct = 0, answers = 0;
  while (const auto batch = loader.next()) {
    const StepReport report = step.evaluate(*batch);
    loss_sum += report.loss * static_cast<double>(report.samples);
    correct += report.correct;
    answers += report.answers;
    total.samples += report.samples;
    if (goes_on && !goes_on()) break;
  }
  if (total.samples > 0) {
    total.loss = loss_sum / static_cast<double>(total.samples);
    total.accuracy = static_cast<double>(correct) / static_cast<double>(answers);
  }
  total.wall_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - begin)
          .count();
  return total;
}

}  // namespace millrace::cli
