#include "controller/forecast.hpp"

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

/// What was longer ago says less of how the machine is now.
constexpr std::size_t kShownSteps = 100;

/// Samples of an epoch's last step where it is smaller than the others, else 0.
std::int64_t short_samples_of(const RunOutline& run) {
  const std::int64_t batch = run.plan.batch;
  const std::int64_t rest = run.training_samples - (run.steps_per_epoch() - 1) * batch;
  return rest > 0 && rest < batch ? rest : 0;
}

double evaluation_ns_of(const RunOutline& run, const Forecast::Costs& costs) {
  if (run.validation_samples == 0) return 0;
  RunShape shape;
  shape.evaluated_samples = run.validation_samples;
  return estimate_run(run.profile, run.plan, shape, costs.confidence, costs.rehearsal)
      .run.expected_ns;
}

}  // namespace

std::int64_t RunOutline::steps_per_epoch() const {
  return (training_samples + plan.batch - 1) / plan.batch;
}

RunOutline outline_of(const TrainingSession& session) {
  return {session.plan(), session.profile(), session.training_samples(),
          session.validation_samples()};
}

Forecast::Forecast(const RunOutline& run, const Calendar& calendar, const Costs& costs,
                   std::int64_t step, std::int64_t elapsed_ns)
    : calendar_(calendar),
      batch_(run.plan.batch),
      short_samples_(short_samples_of(run)),
      confidence_(costs.confidence),
      validation_samples_(run.validation_samples),
      rehearsal_(costs.rehearsal),
      evaluation_ns_(evaluation_ns_of(run, costs)),
      checkpoint_ns_(rehearsal_ ? rehearsal_->save_ns : costs.checkpoint_ns),
      last_checkpoint_ns_(checkpoint_ns_ + (rehearsal_ ? costs.checkpoint_ns : 0)),
      first_(calendar.last_step() ? estimate_by_steps(run, step)
                                  : estimate_by_time(run, elapsed_ns)),
      left_(first_, costs.confidence) {}

Estimate Forecast::estimate_by_steps(const RunOutline& run, std::int64_t step) const {
  const std::int64_t last = std::max(step, *calendar_.last_step());
  RunShape shape;
  shape.steps = last - step;
  shape.last_step_samples = short_samples_;
  shape.short_steps = short_samples_ > 0 ? calendar_.epoch_ends(step, last) : 0;
  if (run.validation_samples > 0) {
    shape.evaluated_samples = calendar_.evaluations(step, last) * run.validation_samples;
  }
  const Estimate steps = estimate_run(run.profile, run.plan, shape, confidence_, rehearsal_);
  // How many of the epochs' checkpoints are written depends on the time of the steps.
  shape.checkpoints = 1;
  shape.checkpoint_ns = checkpoints_ns(step, last, steps.run.expected_ns) + flush_ns();
  return estimate_run(run.profile, run.plan, shape, confidence_, rehearsal_);
}

Estimate Forecast::estimate_by_time(const RunOutline& run, std::int64_t elapsed_ns) const {
  RunShape shape;
  shape.steps = 1;
  Estimate estimate = estimate_run(run.profile, run.plan, shape, confidence_, rehearsal_);
  estimate.run = until_the_end(elapsed_ns, estimate.step);
  return estimate;
}

TimeEstimate Forecast::until_the_end(std::int64_t elapsed_ns, const TimeEstimate& step) const {
  const auto left = [&](std::int64_t end_ns) {
    return std::max(0.0, static_cast<double>(end_ns - elapsed_ns));
  };
  if (!calendar_.time_ns()) return {left(*calendar_.deadline_ns()), left(*calendar_.deadline_ns())};
  // The last step begins before the time is over, anywhere within its length.
  const double fixed = left(*calendar_.time_ns()) + closing_ns();
  return {fixed + step.expected_ns / 2, fixed + step.latest_ns};
}

void Forecast::observe_step(std::int64_t samples, std::int64_t wall_ns) {
  if (samples != batch_) return;
  left_.observe(static_cast<double>(wall_ns));
  if (warm_) steps_ns_.push_back(static_cast<double>(wall_ns));
  warm_ = true;
  if (steps_ns_.size() > kShownSteps) steps_ns_.pop_front();
}

std::optional<Rehearsal> Forecast::shown() const {
  if (steps_ns_.empty()) return std::nullopt;
  Rehearsal shown = rehearsal_.value_or(Rehearsal());
  shown.steps_ns.assign(steps_ns_.begin(), steps_ns_.end());
  if (evaluated_) {
    shown.evaluation_ns = evaluation_ns_;
    shown.evaluated_samples = validation_samples_;
  }
  shown.save_ns = checkpoint_ns_;
  return shown;
}

TimeEstimate Forecast::remaining(std::int64_t step, std::int64_t elapsed_ns) const {
  if (!calendar_.last_step()) return until_the_end(elapsed_ns, left_.remaining(1, 0));
  const std::int64_t last = std::max(step, *calendar_.last_step());
  const std::int64_t shorts = short_samples_ > 0 ? calendar_.epoch_ends(step, last) : 0;
  const auto short_as_full =
      std::llround(static_cast<double>(shorts * short_samples_) / static_cast<double>(batch_));
  const std::int64_t full = last - step - shorts + short_as_full;
  const double steps_ns = left_.remaining(full, 0).expected_ns;
  return left_.remaining(
      full, evaluations_ns(step, last) + checkpoints_ns(step, last, steps_ns) + flush_ns());
}

double Forecast::evaluations_ns(std::int64_t from, std::int64_t to) const {
  return static_cast<double>(calendar_.evaluations(from, to)) * evaluation_ns_;
}

double Forecast::checkpoints_ns(std::int64_t from, std::int64_t to, double steps_ns) const {
  const bool to_the_end = from < to && to == calendar_.last_step();  // with a last one, saved once
  const auto certain = static_cast<double>(calendar_.checkpoints(from, to));
  const bool epoch_is_last = to_the_end && calendar_.epoch_ends(to);
  const std::int64_t epochs = calendar_.epoch_ends(from, to) - (epoch_is_last ? 1 : 0);
  // An epoch's is written while those before took no more than their share.
  const double room =
      kCheckpointShare * steps_ns + checkpoint_ns_ * (to_the_end ? 2 - certain : 1 - certain);
  return certain * checkpoint_ns_ +
         std::clamp(room, 0.0, static_cast<double>(epochs) * checkpoint_ns_);
}

}  // namespace millrace
