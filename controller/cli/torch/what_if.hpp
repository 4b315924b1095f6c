#pragma once
// The best plans of a run for fewer cores or other batches than there are, from one profile.

#include <cstdint>
#include <string>
#include <vector>

#include "controller/cli/run_config.hpp"
#include "controller/estimate/what_if.hpp"
#include "millrace/profiler.hpp"
#include "millrace/train_step.hpp"

namespace millrace::cli {

/// What a run's plans are weighed by.
struct RunQuestion {
  RunConfig config;
  TrainSettings settings;    ///< what is asked of a plan
  MeasuredProfile measured;  ///< decoding included
  std::int64_t training_samples = 0, validation_samples = 0;
  double write_ns_per_byte = 1;             ///< of checkpoints
  std::int64_t trained_steps = 0;           ///< of a run that goes on
  std::optional<Rehearsal> rehearsal = {};  ///< of the one plan that is asked for
};

/// What is left of the run takes under `plan`.
Estimate estimate_of(const RunQuestion& run, const Plan& plan, const Profile& costs);

/// The costs of the `cores` fastest cores, and these alone. REQUIRES: as many are there.
MeasuredProfile with_cores(const MeasuredProfile& measured, int cores);

/// Searches the best plan for the `cores` fastest cores. Efficiency is the caller's.
PlanOption option_with(const RunQuestion& run, int cores);

/// The run's settings, with another batch.
TrainSettings settings_for(const RunQuestion& run, std::int64_t batch);

/// The options for each batch and each number of cores, with their efficiency.
std::vector<PlanOption> options_of(RunQuestion run, const std::vector<std::int64_t>& batches,
                                   const std::vector<int>& core_counts);

/// Settings that keep the run to the fewest cores whose plan is sure to be done `left_ns` from now,
/// and to that plan; where none is, to the fastest.
TrainSettings settings_in_time(const RunQuestion& run, double left_ns);

/// The CPUs of the plan's stages, as --cores takes them: what a run with a deadline is kept to.
std::string cores_of(const Plan& plan);

}  // namespace millrace::cli
