// What a run says of itself.

#include <unistd.h>

#include <cmath>

#include "controller/training_loop.hpp"

namespace millrace {
namespace {

constexpr std::size_t kShownSteps = 20;  // that the live line and the result take means over

}  // namespace

void TrainingLoop::write_metrics() {
  const TrainingProgress now = progress();
  const auto covered = static_cast<std::size_t>(step() - metrics_step_);
  const double rate = settings_.learning_rate * settings_.learning_rate_schedule.factor(step() - 1);
  const StepMetrics line{now.step,
                         now.epoch,
                         recent_.loss(covered),
                         recent_.images_per_second(covered),
                         recent_.step_ns(covered),
                         rate,
                         now.elapsed_ns,
                         now.remaining};
  metrics_.add(line);
  if (sink_) sink_->add(line);
  metrics_step_ = step();
}

void TrainingLoop::write_status(RunState state) {
  const auto accuracy = evaluation_ ? std::optional(evaluation_->accuracy) : std::nullopt;
  const RunStatus status{state,          identity_of(::getpid()).value_or(ProcessIdentity{}),
                         model_,         progress(),
                         accuracy,       stages_,
                         failures_.count};
  status_.write(status, now_ns());
  if (settings_.on_status) settings_.on_status(status, shown_);
}

TrainingProgress TrainingLoop::progress() const {
  TrainingProgress now;
  now.step = step();
  now.last_step = calendar_.last_step();
  now.elapsed_ns = elapsed_ns();
  now.deadline_ns = calendar_.deadline_ns();
  now.fraction =
      now.last_step ? static_cast<double>(now.step) / static_cast<double>(*now.last_step)
                    : static_cast<double>(now.elapsed_ns) / static_cast<double>(calendar_.end_ns());
  now.epoch = calendar_.epoch_of(step());
  now.loss = recent_.loss(kShownSteps);
  now.images_per_second = recent_.images_per_second(kShownSteps);
  if (!ended_) now.remaining = forecast_->remaining(step(), now.elapsed_ns);
  return now;
}

TrainingResult TrainingLoop::result() const {
  TrainingResult result;
  const StopRequest stop = signals_.stop_requested();
  if (!ended_ && stop == StopRequest::interrupt) result.outcome = TrainingOutcome::interrupted;
  if (!ended_ && stop == StopRequest::terminate) result.outcome = TrainingOutcome::terminated;
  result.steps = step();
  result.steps_here = recent_.count();
  result.images_per_second = recent_.images_per_second_of_all();
  if (recent_.count() > 0) result.loss = recent_.loss(kShownSteps);
  result.evaluation = evaluation_;
  result.first_expected_ns = first_.run.expected_ns;
  result.first_latest_ns = first_.run.latest_ns;
  result.measured_ns = static_cast<double>(here_ns());
  result.reached_limit = limits_.reached();
  result.energy_joules = limits_.used_joules();
  result.reached_deadline = deadline_.reached();
  if (ended_ && calendar_.ended(step(), elapsed_ns()) && recent_.count() > 0) {
    result.error_percent =
        100 * std::abs(result.first_expected_ns - result.measured_ns) / result.measured_ns;
  }
  result.plan_changes = plan_changes_;
  result.failed_steps = failures_.count;
  result.loader = session_.loader_waits();
  result.skipped_images = session_.skipped_images();
  result.shown = forecast_->shown();
  return result;
}

}  // namespace millrace
