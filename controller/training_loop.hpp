#pragma once
// One run from its start, or from a checkpoint, to its end: what run_training is made of.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controller/adaptation.hpp"
#include "controller/deadline.hpp"
#include "controller/forecast.hpp"
#include "controller/memory_watch.hpp"
#include "controller/metrics.hpp"
#include "controller/patience.hpp"
#include "controller/recent_steps.hpp"
#include "controller/recent_trace.hpp"
#include "controller/run_checkpoints.hpp"
#include "controller/run_status.hpp"
#include "controller/signals.hpp"
#include "controller/step_failure.hpp"
#include "controller/training_run.hpp"

namespace millrace {

/// Of the process; they outlive the loops of run_training.
struct RunWatch {
  SignalWatch signals;
  StepFailures failures;
  std::optional<std::int64_t> gone_back_to;  ///< the checkpoint's step, last time
  double used_joules = 0;                    ///< when it went back
};

/// Not thread-safe.
class TrainingLoop {
 public:
  TrainingLoop(TrainingSession& session, const RunFolder& folder, const TrainingSettings& settings,
               TrainingObserver& observer, RunWatch& watch);
  ~TrainingLoop() { session_.hold_updates({}); }

  /// Throws LostStep where it has to go on from a checkpoint.
  TrainingResult run();
  /// After an exception: a checkpoint of the steps that are whole. Returns
  /// what is left of the run, for people; status.json says so, too.
  std::string give_up();
  /// Waits for the disk.
  void settle() { checkpoints_.settle(); }
  double used_joules() const { return limits_.used_joules(); }
  /// Where a loop that goes on from the checkpoint `at` has its deadline.
  std::optional<std::int64_t> deadline_behind(const CheckpointInfo& at) const;

 private:
  // What happened before this process.
  CheckpointInfo restore();
  void require_evaluations() const;

  void train_step();
  StepReport train_next();
  void note_failure();
  void watch_memory();
  void take(const PlanChange& change);
  void adapt(const StepReport& report, std::int64_t wall_ns);
  Forecast new_forecast() const;
  void evaluate_if_due();
  void save_if_due();
  void save_if_new();
  void save_what_is_whole();
  bool epoch_checkpoint_fits() const;
  void finish();

  void evaluate();
  bool shows_life_and_goes_on();
  void save();
  void note_saving(std::int64_t waited_ns);
  void report_saved();
  void write_metrics();
  void write_status(RunState state);
  TrainingResult result() const;
  TrainingProgress progress() const;

  bool stopped() const { return signals_.stop_requested() != StopRequest::none; }
  std::int64_t now_ns() const { return clock_(); }
  std::int64_t here_ns() const { return now_ns() - begin_ns_; }
  std::int64_t elapsed_ns() const { return restored_.trained_ns + here_ns(); }
  std::int64_t step() const { return restored_.step + recent_.count(); }
  bool ended() const { return done() || deadline_.reached(); }
  void watch_deadline() {
    const std::int64_t elapsed = elapsed_ns();
    if (!done())
      deadline_.observe(elapsed, forecast_->remaining(step(), elapsed),
                        forecast_->last_step_ns(checkpoints_.flushed_for_ns()));
  }
  bool done() const {
    return calendar_.ended(step(), elapsed_ns()) || patience_.exhausted() ||
           !limits_.reached().empty();
  }
  bool evaluates() const { return session_.validation_samples() > 0; }

  TrainingSession& session_;
  const RunFolder& folder_;
  const TrainingSettings& settings_;
  TrainingObserver& observer_;
  const std::string model_;
  const std::function<std::int64_t()> clock_;
  SignalWatch& signals_;
  StepFailures& failures_;
  Calendar calendar_;
  RunCheckpoints checkpoints_;
  CheckpointInfo restored_;
  std::int64_t begin_ns_;  // of this process's part of the run
  MetricsLog metrics_;
  const std::unique_ptr<MetricsSink> sink_;  // or null
  Patience patience_;
  DeadlineWatch deadline_;
  StatusFile status_;
  RecentSteps recent_;
  std::int64_t plan_changes_ = 0;
  std::optional<Forecast> forecast_;  // of the plan in force
  Adaptation adaptation_;
  MemoryWatch memory_;
  RunLimits limits_;
  const Estimate first_;

  std::int64_t metrics_step_ = 0;     // of the last line
  std::int64_t evaluated_step_ = -1;  // of evaluation_
  std::int64_t saving_ns_ = 0;        // that this process waited for checkpoints
  std::int64_t last_save_ns_ = 0;     // for the last one
  bool saved_ = false;                // since the last step
  bool ended_ = false;                // not by a signal; once it is over
  bool diverged_ = false;             // the weights are not to be kept
  std::optional<Evaluation> evaluation_;
  RecentTrace trace_;
  std::vector<StageStatus> stages_;
  StepReport shown_;  // the step that stages_ is of
};

}  // namespace millrace
