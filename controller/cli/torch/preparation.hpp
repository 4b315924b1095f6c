#pragma once
// From the configuration to what the framework takes: machine, profile with a bar, model, settings.

#include "controller/calendar.hpp"
#include "controller/cli/run_config.hpp"
#include "controller/cli/torch/training_data.hpp"
#include "millrace/profiler.hpp"
#include "millrace/train_step.hpp"

namespace millrace::cli {

/// The cores of --cores. Warnings of the machine go to the log.
Topology allowed_machine(const RunConfig& config);

/// Measures `model`, or takes what is kept; a bar on a terminal, lines in a log.
MeasuredProfile measure(const Model& model, const RunConfig& config, bool reuse);

/// The model with fresh weights of config.seed, then those of config.weights, if any.
/// Throws ConfigError (tag "weights").
Model prepare_model(const RunConfig& config, std::int64_t classes);

/// What the board named might cost, from what is measured here: with a warning that says so.
MeasuredProfile on_board(MeasuredProfile measured, const std::string& board,
                         const RunConfig& config);
/// The cores of the board that config.cores names.
Topology board_cores(const std::string& board, const RunConfig& config);

/// What is asked of a plan: no machine, nothing that training takes besides.
TrainSettings planning_settings(const RunConfig& config);

/// What TrainStep::prepare takes. A plan of a file is read, its batch taken.
/// `run_steps`: the run's length for the cosine schedule, 0 where it is not known.
TrainSettings train_settings(const RunConfig& config, std::int64_t run_steps);

/// `settings` with the plan that was the fastest of the config.refine best ones, and its corrected
/// costs; as they are where no plan is to be tried. Says what each plan took.
TrainSettings refined(const Model& model, TrainSettings settings, const RunConfig& config);

TrainingEnd end_of(const RunConfig& config);

/// Steps of the whole run; 0 where it ends by time.
std::int64_t run_steps(const RunConfig& config, std::int64_t samples);

}  // namespace millrace::cli
