#include "controller/training_run.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cmath>

#include "controller/adaptation.hpp"
#include "controller/deadline.hpp"
#include "controller/forecast.hpp"
#include "controller/metrics.hpp"
#include "controller/patience.hpp"
#include "controller/recent_steps.hpp"
#include "controller/recent_trace.hpp"
#include "controller/run_checkpoints.hpp"
#include "controller/run_status.hpp"
#include "controller/signals.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"

namespace millrace {
namespace {

constexpr const char* kTag = "train";
constexpr std::size_t kShownSteps = 20;  // that the live line and the result take means over

std::int64_t steady_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::int64_t no_time() { return 0; }  // of the disk, where the run's clock is another

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

class TrainingRun {
 public:
  TrainingRun(TrainingSession& session, const RunFolder& folder, const TrainingSettings& settings,
              TrainingObserver& observer);

  TrainingResult run();
  /// After an exception: what is left of the run, for status.json and, returned, for people.
  std::string give_up();

 private:
  // What happened before this process.
  CheckpointInfo restore();
  void require_evaluations() const;

  void train_step();
  void adapt(const StepReport& report, std::int64_t wall_ns);
  Forecast new_forecast() const;
  void evaluate_if_due();
  void save_if_due();
  void save_if_new();
  bool epoch_checkpoint_fits() const;
  void finish();

  void evaluate();
  bool show_life();
  void save();
  void report_saved();
  void write_metrics();
  void write_status(RunState state);
  TrainingResult result() const;
  TrainingProgress progress() const;

  bool stopped() const { return signals_.stop_requested() != StopRequest::none; }
  std::int64_t now_ns() const { return settings_.now_ns ? settings_.now_ns() : steady_ns(); }
  std::int64_t here_ns() const { return now_ns() - begin_ns_; }
  std::int64_t elapsed_ns() const { return restored_.trained_ns + here_ns(); }
  std::int64_t step() const { return restored_.step + recent_.count(); }
  bool ended() const { return done() || deadline_.reached(); }
  void watch_deadline() {
    const std::int64_t elapsed = elapsed_ns();
    if (!done())
      deadline_.observe(elapsed, forecast_->remaining(step(), elapsed), forecast_->last_step_ns());
  }
  bool done() const { return calendar_.ended(step(), elapsed_ns()) || patience_.exhausted(); }
  bool evaluates() const { return session_.validation_samples() > 0; }

  TrainingSession& session_;
  const RunFolder& folder_;
  const TrainingSettings& settings_;
  TrainingObserver& observer_;
  const std::string model_;
  SignalWatch signals_;
  Calendar calendar_;
  RunCheckpoints checkpoints_;
  CheckpointInfo restored_;
  std::int64_t begin_ns_;  // of this process's part of the run
  MetricsLog metrics_;
  Patience patience_;
  DeadlineWatch deadline_;
  StatusFile status_;
  RecentSteps recent_;
  std::int64_t plan_changes_ = 0;
  std::optional<Forecast> forecast_;  // of the plan in force
  Adaptation adaptation_;
  const Estimate first_;

  std::int64_t metrics_step_ = 0;     // of the last line
  std::int64_t evaluated_step_ = -1;  // of evaluation_
  std::int64_t saving_ns_ = 0;        // in this process
  std::optional<Evaluation> evaluation_;
  RecentTrace trace_;
  std::vector<StageStatus> stages_;
  StepReport shown_;  // the step that stages_ is of
};

TrainingRun::TrainingRun(TrainingSession& session, const RunFolder& folder,
                         const TrainingSettings& settings, TrainingObserver& observer)
    : session_(session),
      folder_(folder),
      settings_(settings),
      observer_(observer),
      model_(session.plan().model),
      calendar_(calendar_of(session, settings)),
      checkpoints_(
          CheckpointFolder(folder.checkpoints(), static_cast<int>(settings.checkpoint_keep)),
          settings.now_ns ? no_time : steady_ns),
      restored_(restore()),
      begin_ns_(now_ns()),
      metrics_(folder.metrics(), restored_.step),
      patience_(settings.patience),
      deadline_(calendar_.deadline_ns()),
      status_(folder.status()),
      forecast_(new_forecast()),
      adaptation_(session, folder, settings.replans, restored_.step),
      first_(forecast_->first()),
      metrics_step_(restored_.step),
      trace_(settings.trace_steps) {
  require_evaluations();
  for (const auto& [at, accuracy] : metrics_.kept_accuracies()) patience_.observe(accuracy);
  if (restored_.accuracy) {
    evaluation_ = Evaluation{session.validation_samples(), restored_.evaluation_loss.value_or(NAN),
                             *restored_.accuracy, 0};
    evaluated_step_ = restored_.step;
  }
}

CheckpointInfo TrainingRun::restore() {
  const std::int64_t before_ns = now_ns();
  checkpoints_.prepare(folder_, state_bytes(session_));
  if (!settings_.resume) return {};
  const auto restored =
      checkpoints_.restore(session_, settings_.facts, calendar_.last_step(), folder_);
  calendar_.bring_deadline_forward(now_ns() - before_ns);
  return restored.value_or(CheckpointInfo());
}

void TrainingRun::require_evaluations() const {
  if (settings_.patience == 0 || (evaluates() && settings_.evaluate_every_epochs > 0)) return;
  throw ConfigError(kTag, fmt::format("patience is {}, but nothing is evaluated while the training "
                                      "goes on ({} validation samples, an evaluation every {} "
                                      "epochs): give validation data, set "
                                      "train.evaluate_every_epochs, or leave --patience out",
                                      settings_.patience, session_.validation_samples(),
                                      settings_.evaluate_every_epochs));
}

TrainingResult TrainingRun::run() {
  stages_ = stage_status(session_.plan(), {});
  write_status(RunState::running);
  observer_.started(progress(), first_);
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

std::string TrainingRun::give_up() {
  write_status(RunState::failed);
  checkpoints_.settle();
  const auto steps = checkpoints_.folder().steps();
  return steps.empty()
             ? fmt::format("stopped after step {}, before the first checkpoint", step())
             : fmt::format("stopped after step {}; `millrace resume {}` goes on at step {}", step(),
                           folder_.path().string(), steps.back());
}

void TrainingRun::train_step() {
  const std::int64_t before_ns = now_ns();
  StepReport report = session_.train_next();
  const std::int64_t wall_ns = now_ns() - before_ns;
  if (!std::isfinite(report.loss)) {
    throw ConfigError(kTag, fmt::format("the loss of step {} is {} at the learning rate {:g}: the "
                                        "training diverged, lower --lr or begin with a warm-up",
                                        step() + 1, report.loss,
                                        settings_.learning_rate *
                                            settings_.learning_rate_schedule.factor(step())));
  }
  recent_.add(report, wall_ns);
  forecast_->observe_step(report.samples, wall_ns);
  if (recent_.count() == 1 || status_.is_due(now_ns())) {
    stages_ = stage_status(session_.plan(), report);
    shown_ = report;
    write_status(RunState::running);
  }
  adapt(report, wall_ns);
  trace_.add(std::move(report));
  if (step() % settings_.metrics_every_steps == 0) write_metrics();
  observer_.stepped(progress());
}

void TrainingRun::adapt(const StepReport& report, std::int64_t wall_ns) {
  double left_ns = forecast_->remaining(step(), elapsed_ns()).expected_ns;
  if (const auto deadline = calendar_.deadline_ns())
    left_ns = std::min(left_ns, static_cast<double>(*deadline - elapsed_ns()));
  const auto change = adaptation_.stepped(report, wall_ns, now_ns(), step(), left_ns);
  if (!change) return;
  ++plan_changes_;
  forecast_.emplace(new_forecast());
  metrics_.add(*change);
}

Forecast TrainingRun::new_forecast() const {
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

void TrainingRun::evaluate_if_due() {
  if (calendar_.evaluation_due(step()) && evaluated_step_ != step()) evaluate();
}

void TrainingRun::evaluate() {
  if (!evaluates()) return;
  const std::int64_t before_ns = now_ns();
  evaluation_ = session_.evaluate([this] { return show_life(); });
  evaluation_->wall_ns = now_ns() - before_ns;
  evaluated_step_ = step();
  if (!metrics_.kept_accuracies().contains(step())) patience_.observe(evaluation_->accuracy);
  forecast_->observe_evaluation(evaluation_->wall_ns);
  metrics_.add(step(), calendar_.epoch_of(step()), *evaluation_);
  observer_.evaluated(progress(), *evaluation_);
  if (patience_.exhausted())
    log_info(kTag, fmt::format("the last {} evaluations were no better than {:.2f} %: the training "
                               "ends",
                               settings_.patience, 100 * patience_.best()));
}

/// Where something takes longer than a step; it goes on.
bool TrainingRun::show_life() {
  if (status_.is_due(now_ns())) write_status(RunState::running);
  return true;
}

void TrainingRun::save_if_due() {
  const bool asked = signals_.take_checkpoint_request();
  const bool epoch = calendar_.epoch_ends(step()) && epoch_checkpoint_fits();
  if (asked || epoch || calendar_.checkpoint_due(step())) save();
}

/// Where the newest checkpoint lacks a step or the evaluation of this one.
void TrainingRun::save_if_new() {
  if (!checkpoints_.holds(step(), evaluated_step_ == step())) save();
}

bool TrainingRun::epoch_checkpoint_fits() const {
  return static_cast<double>(saving_ns_) <= kCheckpointShare * static_cast<double>(here_ns());
}

void TrainingRun::save() {
  const std::int64_t before_ns = now_ns();
  CheckpointInfo info{settings_.facts, step(), elapsed_ns(), std::nullopt, std::nullopt};
  if (evaluated_step_ == step()) {
    info.accuracy = evaluation_->accuracy;
    info.evaluation_loss = evaluation_->loss;
  }
  checkpoints_.save(info, session_.state());
  const std::int64_t wall_ns = now_ns() - before_ns;
  saving_ns_ += wall_ns;
  forecast_->observe_checkpoint(wall_ns);
  report_saved();
}

void TrainingRun::report_saved() {
  for (const auto& [saved, wall_ns] : checkpoints_.take_completed()) {
    forecast_->observe_flush(wall_ns);
    observer_.saved(progress(), checkpoints_.folder().path_of(saved));
    log_info(kTag, fmt::format("checkpoint of step {} saved", saved));
  }
}

void TrainingRun::finish() {
  if ((ended() || !stopped()) && evaluated_step_ != step()) evaluate();
  save_if_new();
  trace_.write(folder_.trace());
  checkpoints_.finish();
  report_saved();
}

void TrainingRun::write_metrics() {
  const TrainingProgress now = progress();
  const auto covered = static_cast<std::size_t>(step() - metrics_step_);
  const double rate = settings_.learning_rate * settings_.learning_rate_schedule.factor(step() - 1);
  metrics_.add({now.step, now.epoch, recent_.loss(covered), recent_.images_per_second(covered),
                recent_.step_ns(covered), rate, now.elapsed_ns, now.remaining});
  metrics_step_ = step();
}

void TrainingRun::write_status(RunState state) {
  const auto accuracy = evaluation_ ? std::optional(evaluation_->accuracy) : std::nullopt;
  const RunStatus status{state,    identity_of(::getpid()).value_or(ProcessIdentity{}),
                         model_,   progress(),
                         accuracy, stages_};
  status_.write(status, now_ns());
  if (settings_.on_status) settings_.on_status(status, shown_);
}

TrainingProgress TrainingRun::progress() const {
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
  now.remaining = forecast_->remaining(step(), now.elapsed_ns);
  return now;
}

TrainingResult TrainingRun::result() const {
  TrainingResult result;
  const StopRequest stop = signals_.stop_requested();
  const bool finished = ended();
  if (!finished && stop == StopRequest::interrupt) result.outcome = TrainingOutcome::interrupted;
  if (!finished && stop == StopRequest::terminate) result.outcome = TrainingOutcome::terminated;
  result.steps = step();
  result.steps_here = recent_.count();
  result.images_per_second = recent_.images_per_second_of_all();
  if (recent_.count() > 0) result.loss = recent_.loss(kShownSteps);
  result.evaluation = evaluation_;
  result.first_expected_ns = first_.run.expected_ns;
  result.first_latest_ns = first_.run.latest_ns;
  result.measured_ns = static_cast<double>(here_ns());
  result.reached_deadline = deadline_.reached();
  if (calendar_.ended(step(), elapsed_ns()) && recent_.count() > 0) {
    result.error_percent =
        100 * std::abs(result.first_expected_ns - result.measured_ns) / result.measured_ns;
  }
  result.plan_changes = plan_changes_;
  result.loader = session_.loader_waits();
  result.skipped_images = session_.skipped_images();
  return result;
}

}  // namespace

TrainingResult run_training(TrainingSession& session, const RunFolder& folder,
                            const TrainingSettings& settings, TrainingObserver& observer) {
  MILLRACE_CHECK(settings.metrics_every_steps >= 1, kTag, "metrics are written at some steps");
  TrainingRun run(session, folder, settings, observer);
  try {
    return run.run();
  } catch (...) {
    log_warning(kTag, run.give_up());
    throw;
  }
}

}  // namespace millrace
