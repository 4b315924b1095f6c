#include "controller/training_loop.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "controller/steady_clock.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"

namespace millrace {
namespace {

constexpr const char* kTag = "train";

/// Of the disk, where the run's clock is not the machine's.
std::int64_t no_time() { return 0; }

Calendar calendar_of(const TrainingSession& session, const TrainingSettings& settings) {
  return Calendar({settings.end, session.steps_per_epoch(), settings.evaluate_every_epochs,
                   settings.checkpoint_every_steps});
}

RunState state_of(TrainingOutcome outcome) {
  if (outcome == TrainingOutcome::interrupted) return RunState::interrupted;
  return outcome == TrainingOutcome::terminated ? RunState::terminated : RunState::finished;
}

std::int64_t state_bytes(TrainingSession& session) {
  std::int64_t bytes = 0;
  for (const SessionTensor& tensor : session.state()) bytes += tensor.view.bytes;
  return bytes;
}

}  // namespace

TrainingLoop::TrainingLoop(TrainingSession& session, const RunFolder& folder,
                           const TrainingSettings& settings, TrainingObserver& observer,
                           RunWatch& watch)
    : session_(session),
      folder_(folder),
      settings_(settings),
      observer_(observer),
      model_(session.plan().model),
      clock_(settings.now_ns ? settings.now_ns : steady_ns),
      signals_(watch.signals),
      failures_(watch.failures),
      calendar_(calendar_of(session, settings)),
      checkpoints_(
          CheckpointFolder(folder.checkpoints(), static_cast<int>(settings.checkpoint_keep)),
          settings.now_ns ? no_time : steady_ns),
      restored_(restore()),
      begin_ns_(now_ns()),
      metrics_(folder.metrics(), restored_.step),
      sink_(settings.metrics_sink ? settings.metrics_sink(restored_.step) : nullptr),
      patience_(settings.patience),
      deadline_(calendar_.deadline_ns()),
      status_(folder.status()),
      forecast_(new_forecast()),
      adaptation_(session, folder, settings, restored_.step),
      memory_(settings.memory),
      limits_(settings.limits, std::max(restored_.energy_joules, watch.used_joules), begin_ns_),
      first_(forecast_->first()),
      metrics_step_(restored_.step),
      trace_(settings.trace_steps) {
  require_evaluations();
  session_.hold_updates([this] { checkpoints_.wait_copied(); });
  for (const auto& [at, accuracy] : metrics_.kept_accuracies()) patience_.observe(accuracy);
  if (restored_.accuracy) {
    evaluation_ = Evaluation{session.validation_samples(), restored_.evaluation_loss.value_or(NAN),
                             *restored_.accuracy, 0};
    evaluated_step_ = restored_.step;
  }
}

CheckpointInfo TrainingLoop::restore() {
  const std::int64_t before_ns = now_ns();
  checkpoints_.prepare(folder_, state_bytes(session_));
  if (!settings_.resume) return {};
  const auto restored =
      checkpoints_.restore(session_, settings_.facts, calendar_.last_step(), folder_);
  calendar_.bring_deadline_forward(now_ns() - before_ns);
  return restored.value_or(CheckpointInfo());
}

void TrainingLoop::require_evaluations() const {
  if (settings_.patience == 0 || (evaluates() && settings_.evaluate_every_epochs > 0)) return;
  throw ConfigError(kTag, fmt::format("patience is {}, but nothing is evaluated while the training "
                                      "goes on ({} validation samples, an evaluation every {} "
                                      "epochs): give validation data, set "
                                      "train.evaluate_every_epochs, or leave --patience out",
                                      settings_.patience, session_.validation_samples(),
                                      settings_.evaluate_every_epochs));
}

TrainingResult TrainingLoop::run() {
  stages_ = stage_status(session_.plan(), {});
  write_status(RunState::running);
  observer_.started(progress(), first_);
  if (failures_.unsaid) note_failure();  // of the loop before
  if (step() > 0) {  // a run that was stopped at an epoch's end skipped its evaluation
    evaluate_if_due();
    save_if_new();
  }
  for (watch_deadline(); !ended() && !stopped(); watch_deadline()) {
    train_step();
    if (stopped()) break;
    evaluate_if_due();
    save_if_due();
    report_saved();
  }
  finish();
  const TrainingResult ended = result();
  write_status(state_of(ended.outcome));
  return ended;
}

std::string TrainingLoop::give_up() {
  save_what_is_whole();
  checkpoints_.settle();
  write_status(RunState::failed);
  const auto steps = checkpoints_.folder().steps();
  return steps.empty()
             ? fmt::format("stopped after step {}, before the first checkpoint", step())
             : fmt::format("stopped after step {}; `millrace resume {}` goes on at step {}", step(),
                           folder_.path().string(), steps.back());
}

std::optional<std::int64_t> TrainingLoop::deadline_behind(const CheckpointInfo& at) const {
  const auto deadline = calendar_.deadline_ns();
  if (!deadline) return std::nullopt;
  return at.trained_ns + *deadline - elapsed_ns();
}

void TrainingLoop::train_step() {
  const std::int64_t before_ns = now_ns();
  const StepReport report = train_next();
  const std::int64_t wall_ns = now_ns() - before_ns;
  if (!std::isfinite(report.loss)) {
    diverged_ = true;
    throw ConfigError(kTag, fmt::format("the loss of step {} is {} at the learning rate {:g}: the "
                                        "training diverged, lower --lr or begin with a warm-up",
                                        step() + 1, report.loss,
                                        settings_.learning_rate *
                                            settings_.learning_rate_schedule.factor(step())));
  }
  recent_.add(report, wall_ns);
  const std::int64_t waited_ns = checkpoints_.take_waited_ns();
  if (std::exchange(saved_, false) || waited_ns > 0) {
    note_saving(waited_ns);
    forecast_->observe_checkpoint(last_save_ns_);
  }
  forecast_->observe_step(report.samples, wall_ns - waited_ns);
  if (recent_.count() == 1 || status_.is_due(now_ns())) {
    stages_ = stage_status(session_.plan(), report);
    shown_ = report;
    write_status(RunState::running);
  }
  trace_.add(report);
  adapt(report, wall_ns - waited_ns);
  if (!done() && !stopped()) watch_memory();
  limits_.look(now_ns());
  if (!limits_.reached().empty()) log_info(kTag, limits_.reached() + ": the training ends");
  if (step() % settings_.metrics_every_steps == 0) write_metrics();
  observer_.stepped(progress());
}

/// A step that fails is trained once more.
StepReport TrainingLoop::train_next() {
  try {
    return session_.train_next();
  } catch (...) {
    if (!failures_.note(step(), std::current_exception())) throw;
    if (!session_.state_is_whole()) throw LostStep{std::current_exception()};
  }
  note_failure();
  session_.seek(step());
  return session_.train_next();
}

/// Before the steps that make up for it.
void TrainingLoop::note_failure() {
  failures_.unsaid = false;
  log_warning(kTag, fmt::format("step {} failed and is trained again from step {} on: {}",
                                failures_.step + 1, step() + 1, failures_.reason));
  metrics_.add(FailedStep{step(), failures_.step + 1, failures_.reason});
  if (!failures_.memory) return;
  if (const auto change = adaptation_.take_smaller(step(), failures_.reason)) take(*change);
}

void TrainingLoop::watch_memory() {
  const auto pressure = memory_.pressed(now_ns());
  if (!pressure) return;
  const auto change = adaptation_.take_smaller(step(), *pressure);
  memory_.answered(now_ns(), change.has_value());
  if (change) take(*change);
}

void TrainingLoop::adapt(const StepReport& report, std::int64_t wall_ns) {
  double left_ns = forecast_->remaining(step(), elapsed_ns()).expected_ns;
  if (const auto deadline = calendar_.deadline_ns())
    left_ns = std::min(left_ns, static_cast<double>(*deadline - elapsed_ns()));
  const auto change = adaptation_.stepped(report, wall_ns, now_ns(), step(), left_ns);
  if (change) take(*change);
}

void TrainingLoop::take(const PlanChange& change) {
  ++plan_changes_;
  const Forecast before = *forecast_;
  forecast_.emplace(new_forecast());
  forecast_->take_over(before);
  trace_.forget();
  metrics_.add(change);
}

Forecast TrainingLoop::new_forecast() const {
  const double checkpoint_ns =
      static_cast<double>(state_bytes(session_)) * folder_.write_ns_per_byte();
  // What was tried is the plan that the run began with.
  const auto tried = plan_changes_ == 0 ? settings_.rehearsal : std::nullopt;
  return {outline_of(session_),
          calendar_,
          {checkpoint_ns, settings_.confidence, tried},
          step(),
          elapsed_ns()};
}

void TrainingLoop::evaluate_if_due() {
  if (calendar_.evaluation_due(step()) && evaluated_step_ != step()) evaluate();
}

void TrainingLoop::evaluate() {
  if (!evaluates()) return;
  const std::int64_t before_ns = now_ns();
  bool whole = true;
  Evaluation found = session_.evaluate([&] { return whole = shows_life_and_goes_on(); });
  if (!whole) return;  // a run that goes on makes it
  evaluation_ = found;
  evaluation_->wall_ns = now_ns() - before_ns;
  evaluated_step_ = step();
  if (!metrics_.kept_accuracies().contains(step())) patience_.observe(evaluation_->accuracy);
  forecast_->observe_evaluation(evaluation_->wall_ns);
  metrics_.add(step(), calendar_.epoch_of(step()), *evaluation_);
  if (sink_) sink_->add(step(), *evaluation_);
  observer_.evaluated(progress(), *evaluation_);
  if (patience_.exhausted())
    log_info(kTag, fmt::format("the last {} evaluations were no better than {:.2f} %: the training "
                               "ends",
                               settings_.patience, 100 * patience_.best()));
}

/// Where something takes longer than a step.
bool TrainingLoop::shows_life_and_goes_on() {
  if (status_.is_due(now_ns())) write_status(RunState::running);
  return ended() || !stopped();
}

void TrainingLoop::save_if_due() {
  const bool asked = signals_.take_checkpoint_request();
  const bool epoch = calendar_.epoch_ends(step()) && epoch_checkpoint_fits();
  if (asked || epoch || calendar_.checkpoint_due(step())) save();
}

/// Where the newest checkpoint lacks a step or the evaluation of this one.
void TrainingLoop::save_if_new() {
  if (!checkpoints_.holds(step(), evaluated_step_ == step())) save();
}

void TrainingLoop::save_what_is_whole() {
  if (diverged_ || step() == 0 || !session_.state_is_whole()) return;
  try {
    save_if_new();
  } catch (const std::exception& error) {
    log_warning(kTag, fmt::format("no checkpoint of step {}: {}", step(), error.what()));
  }
}

bool TrainingLoop::epoch_checkpoint_fits() const {
  return static_cast<double>(saving_ns_) <= kCheckpointShare * static_cast<double>(here_ns());
}

void TrainingLoop::save() {
  const std::int64_t before_ns = now_ns();
  CheckpointInfo info{settings_.facts, step(),       elapsed_ns(),
                      std::nullopt,    std::nullopt, limits_.used_joules()};
  if (evaluated_step_ == step()) {
    info.accuracy = evaluation_->accuracy;
    info.evaluation_loss = evaluation_->loss;
  }
  checkpoints_.save(info, session_.state());
  last_save_ns_ = 0;
  note_saving(now_ns() - before_ns);
  saved_ = true;
  report_saved();
}

/// Of the last checkpoint, for which the run has waited once more: the step behind it knows all.
void TrainingLoop::note_saving(std::int64_t waited_ns) {
  saving_ns_ += waited_ns;
  last_save_ns_ += waited_ns;
}

void TrainingLoop::report_saved() {
  for (const auto& [saved, wall_ns] : checkpoints_.take_completed()) {
    forecast_->observe_flush(wall_ns);
    observer_.saved(progress(), checkpoints_.folder().path_of(saved));
    log_info(kTag, fmt::format("checkpoint of step {} saved", saved));
  }
}

void TrainingLoop::finish() {
  ended_ = ended();
  if ((ended_ || !stopped()) && evaluated_step_ != step()) evaluate();
  limits_.look_again(now_ns());
  save_if_new();
  trace_.write(folder_.trace());
  checkpoints_.finish();
  report_saved();
}

}  // namespace millrace
