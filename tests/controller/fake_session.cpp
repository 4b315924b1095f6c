#include "tests/controller/fake_session.hpp"

#include <cmath>

#include "millrace/errors.hpp"
#include "tests/controller/estimate/example.hpp"

namespace millrace {

namespace {
constexpr std::size_t kElements = 500;

TensorView float_view(const std::string& name, std::vector<float>& values) {
  return {name,
          "F32",
          {static_cast<std::int64_t>(values.size()) / 2, 2},
          values.data(),
          static_cast<std::int64_t>(values.size() * sizeof(float))};
}
}  // namespace

FakeSession::FakeSession(std::int64_t steps_per_epoch, std::int64_t last_samples)
    : steps_per_epoch_(steps_per_epoch),
      last_samples_(last_samples),
      plan_(testing::example_plan()),
      profile_(testing::example_profile(2)),
      weights_(kElements, 1.0f),
      momentum_(kElements, 0.0f) {}

StepReport FakeSession::train_next() {
  if (before_step) before_step(step_);
  if (hold_) hold_();
  for (std::size_t i = 0; i < kElements; ++i) {
    const float gradient = std::sin(static_cast<float>(step_ * 31 + static_cast<std::int64_t>(i)));
    momentum_[i] = 0.9f * momentum_[i] + gradient * weights_[i];
    weights_[i] -= 0.01f * momentum_[i];
    if (i != kElements / 2 || !amid_update) continue;
    whole_ = false;
    amid_update(step_);
    whole_ = true;
  }
  StepReport report;
  report.step = step_;
  report.samples = (step_ + 1) % steps_per_epoch_ == 0 ? last_samples_ : kBatch;
  report.loss = step_ == diverges_at ? NAN : 2.0 / static_cast<double>(step_ + 1);
  report.begin_ns = clock_ns;
  clock_ns += std::llround(static_cast<double>(step_ns_) * (slowness ? slowness(step_) : 1));
  report.end_ns = clock_ns;
  report.tasks = {{{0, ActionKind::forward, 0}, 0, 0, report.begin_ns, report.end_ns}};
  ++step_;
  return report;
}

void FakeSession::scale(std::int64_t factor) {
  step_ns_ *= factor;
  profile_ = longer(profile_, static_cast<double>(factor));
}

std::optional<PlanOffer> FakeSession::offer_plan(std::optional<std::int64_t> memory_bytes) {
  if (memory_bytes) limits.push_back(*memory_bytes);
  return offers ? offers() : std::nullopt;
}

void FakeSession::take_plan(const Plan& plan, const Profile& costs) {
  if (cannot_take) throw ResourceError("execute", "no thread is left");
  if (on_take) on_take();
  taken.emplace_back(step_, plan);
  plan_ = plan;
  profile_ = costs;
}

StepReport FakeSession::rehearse_next() {
  if (before_step) before_step(step_ + rehearsed);
  StepReport report;
  report.samples = (step_ + ++rehearsed) % steps_per_epoch_ == 0 ? last_samples_ : kBatch;
  clock_ns += std::llround(static_cast<double>(step_ns_) * (slowness ? slowness(step_) : 1));
  return report;
}

void FakeSession::end_rehearsal() { ++rehearsals_ended; }

Evaluation FakeSession::evaluate(const std::function<bool()>& goes_on) {
  evaluations.push_back(step_);
  clock_ns += kEvaluation_ns;
  const double accuracy =
      accuracy_at ? accuracy_at(step_) : 1.0 - 1.0 / static_cast<double>(step_ + 2);
  goes_on();
  return {validation, 1 - accuracy, accuracy, 0};
}

std::vector<SessionTensor> FakeSession::state() {
  if (on_state) on_state();
  return {{float_view("layer.weight", weights_), weights_.data()},
          {float_view("optimizer.momentum.layer.weight", momentum_), momentum_.data()}};
}

Profile longer(Profile profile, double factor) {
  for (LayerCosts& layer : profile.layers) {
    for (PerKind* costs : {&layer.forward_ns, &layer.backward_ns})
      for (auto& [kind, curve] : *costs)
        for (double& ns : curve) ns *= factor;
    for (auto& [kind, ns] : layer.update_ns) ns *= factor;
  }
  return profile;
}

void RecordingObserver::started(const TrainingProgress& at, const Estimate& estimate) {
  start = at;
  first = estimate;
}

void RecordingObserver::saved(const TrainingProgress&, const std::filesystem::path& file) {
  saved_steps.push_back(std::stoll(file.stem().string().substr(std::string("step-").size())));
}

TrainingSettings fake_settings(FakeSession& session, std::int64_t steps) {
  TrainingSettings settings;
  settings.end.steps = steps;
  settings.facts.model = "fake";
  settings.facts.seed = 7;
  settings.now_ns = [&session] { return session.clock_ns; };
  return settings;
}

}  // namespace millrace
