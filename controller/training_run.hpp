#pragma once
// Trains to the end that was asked: steps, evaluations, checkpoints, metrics, signals, estimate.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "controller/calendar.hpp"
#include "controller/checkpoint.hpp"
#include "controller/memory_watch.hpp"
#include "controller/metrics.hpp"
#include "controller/run_folder.hpp"
#include "controller/run_limits.hpp"
#include "controller/session.hpp"
#include "controller/training_observer.hpp"
#include "millrace/estimate.hpp"
#include "millrace/optimizer.hpp"

namespace millrace {

struct RunStatus;

struct TrainingSettings {
  TrainingEnd end;
  TrainingFacts facts;  ///< what checkpoints say of the training
  bool resume = false;  ///< from the folder's newest whole checkpoint; from the start where none is
  std::int64_t checkpoint_every_steps = 200;  ///< 0: at epochs' ends and at the end only
  std::int64_t checkpoint_keep = 2;           ///< newest ones, beside the best
  std::int64_t evaluate_every_epochs = 1;     ///< 0: at the end only
  std::int64_t patience = 0;  ///< evaluations in a row without a better one; 0: the run goes on
  bool replans = true;        ///< takes another plan where the machine has changed
  bool doubted = false;       ///< it may have before the start (TrainStep::costs_are_doubted)
  std::int64_t metrics_every_steps = 1;
  std::int64_t trace_steps = 3;  ///< how many of the last steps trace.json shows; 0: no trace
  double confidence = 0.99;      ///< of the latest time
  double learning_rate = 0.01;   ///< with the schedule: what metrics report
  LearningRateSchedule learning_rate_schedule;
  std::optional<Rehearsal> rehearsal;    ///< of the session's plan; absent: not tried
  std::function<std::int64_t()> now_ns;  ///< empty: the steady clock
  RunLimits::Settings limits;
  MemoryWatch::Look memory;  ///< empty: nobody looks after it
  /// Makes what gets the metrics behind `step`, from which the run goes on, too. Empty: nobody.
  std::function<std::unique_ptr<MetricsSink>(std::int64_t step)> metrics_sink;
  /// Gets what status.json gets, and the newest step. Empty: nobody.
  std::function<void(const RunStatus&, const StepReport&)> on_status;
};

enum class TrainingOutcome { finished, interrupted, terminated };

struct TrainingResult {
  TrainingOutcome outcome = TrainingOutcome::finished;
  std::int64_t steps = 0;                ///< of the whole run
  std::int64_t steps_here = 0;           ///< of this process
  double images_per_second = 0;          ///< of this process's steps; 0 without steps
  std::optional<double> loss;            ///< mean over the last steps; absent without steps
  std::optional<Evaluation> evaluation;  ///< the last one; absent: no validation samples
  double first_expected_ns = 0;          ///< the estimate before the first step of this process
  double first_latest_ns = 0;
  double measured_ns = 0;               ///< from then to the end
  std::optional<double> error_percent;  ///< |expected - measured| / measured; absent: ended early
  std::int64_t plan_changes = 0;        ///< plans that were taken on the way
  std::int64_t failed_steps = 0;        ///< that were trained again
  LoaderWaits loader;
  std::int64_t skipped_images = 0;  ///< broken ones that were left out
  bool reached_deadline = false;    ///< and ended for it, whatever else was asked for
  std::string reached_limit;        ///< of energy or heat, for which it ended; "": none
  double energy_joules = 0;         ///< of the whole run; 0 without a budget
  std::optional<Rehearsal> shown;   ///< of the plan in force at the end, by its last steps
};

/// Trains `session` in `folder` (config.toml and plan.json are the caller's). After each step comes
/// what is due: the metrics line, the evaluation (at epochs' ends and at the end), a checkpoint
/// (every N steps, at the end, and at epochs' ends while checkpoints take at most a tenth of the
/// time). A run that was stopped and resumed has the same state as one that never was.
///
/// Where the machine becomes faster or slower, the run goes on under another plan if that pays
/// (controller/adaptation.hpp); its result is the same to round-off.
///
/// Where the memory is nearly used up (controller/memory_watch.hpp), it goes on under a plan that
/// needs less, if there is one.
///
/// A step that fails (controller/step_failure.hpp) is trained once more: for want of memory under a
/// plan that needs less, if there is one. Where it failed amid its update the run goes back to its
/// newest checkpoint, from which the result's times then count. Where it fails again, the run ends
/// with a checkpoint of the steps before it.
///
/// Ends before its time, as finished, where settings.patience is exhausted, at one of
/// settings.limits, and where another step with the evaluation and the checkpoint behind it may not
/// be done by settings.end.deadline_ns. A deadline that may be missed is warned of, once more where
/// it is expected to be.
///
///   INT, TERM: ends after the step with a checkpoint. HUP: a checkpoint after the step.
///
/// Whatever the session throws is passed on; the newest checkpoint stays. Throws ConfigError for a
/// checkpoint of another training and for patience without evaluations, ResourceError (disk full,
/// …).
TrainingResult run_training(TrainingSession& session, const RunFolder& folder,
                            const TrainingSettings& settings, TrainingObserver& observer);

}  // namespace millrace
