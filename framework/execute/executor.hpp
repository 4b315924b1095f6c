#pragma once
// Runs a schedule over stages, one pinned thread per worker. Knows no tensors.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "millrace/schedule.hpp"
#include "millrace/stage.hpp"
#include "millrace/step_report.hpp"

namespace millrace {

/// Where one worker runs.
struct WorkerPlace {
  std::vector<int> cpus;  ///< bound to these; empty: not bound (tests)
  int threads = 1;        ///< OpenMP width, fixed for the worker's life
};

/// Owns one parked thread per worker of every lane; run() wakes them for one schedule. A lane has
/// one stage, or several of as many workers, which its threads run in turn.
///
///   worker threads of stage s, one per WorkerPlace        bounded channels, payload pointers
///     s0w0  F0 F1 .. B0 R U     --(s0w0 -> s1w0, s1w1)-->   s1w0  F0 B0 ..
///     s0w1  F0 F1 .. B0 R U     --(s0w1 -> s1w0, s1w1)-->   s1w1  F0 B0 ..
///
/// The first exception of a worker is rethrown by run(): no new task starts anywhere, all workers
/// have returned after the tasks then running, and the executor can run again.
/// Not thread-safe: one caller.
class Executor {
 public:
  /// stages[s] must outlive the executor; lanes[s]: its lane, numbered from 0 in the order of their
  /// first stage; one entry of places for each lane, places[lanes[s]].size() ==
  /// stages[s]->workers().
  /// Throws ResourceError where a thread cannot be made or bound.
  Executor(std::vector<StageRunner*> stages, std::vector<int> lanes,
           std::vector<std::vector<WorkerPlace>> places);
  /// A lane for every stage.
  Executor(std::vector<StageRunner*> stages, std::vector<std::vector<WorkerPlace>> places);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// Runs one step. `update_after_all_reduced`: no update starts before every stage's reduction is
  /// done and `between` (may be empty) has run once, on one of the workers (gradient clipping);
  /// without the flag `between` is not called. `before_update` (may be empty) is called by every
  /// worker before its first update, and may make it wait. Returns begin, end and the measured
  /// tasks (by lane, worker, order); step, samples and loss are the caller's to fill. What it needs
  /// of a schedule is made anew only when another schedule comes. Throws ConfigError for a schedule
  /// that is not valid (it would hang).
  struct Options {
    bool update_after_all_reduced = false;
    std::function<void()> between = {};
    std::function<void()> before_update = {};
  };
  StepReport run(const Schedule& schedule, const Options& options);
  StepReport run(const Schedule& schedule) { return run(schedule, Options{}); }

  /// Whether an update of the last run() had begun when it ended, or threw.
  bool update_begun() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Chrome-trace JSON (Perfetto opens it) of the tasks of several steps: one row per worker.
std::string to_chrome_trace(const std::vector<StepReport>& reports);

}  // namespace millrace
