#include "controller/cli/torch/preparation.hpp"

#include <fmt/format.h>

#include <functional>
#include <numeric>

#include "controller/cli/planning.hpp"
#include "controller/cli/torch/profile_bar.hpp"
#include "framework/base/file.hpp"
#include "framework/planning.hpp"
#include "framework/profile/board_costs.hpp"
#include "framework/refine.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "millrace/units.hpp"
#include "models/data/loader.hpp"
#include "models/source.hpp"
#include "models/weights.hpp"

namespace millrace::cli {
namespace {

ProfileRequest profile_request(const RunConfig& config, bool reuse) {
  require_precision(config);
  ProfileRequest request;
  request.batch = config.batch;
  request.algorithms = config.algorithms;
  request.precision = config.precision.value_or(Precision::fp32);
  request.reuse = reuse;
  request.progress = ProfileBar();
  return request;
}

/// Of the batches that are decoded ahead, and the one that is trained.
double decoded_bytes(const RunConfig& config) {
  const auto shape = sample_shape_of(config.model);
  const double number = source_reads_text(config.model) ? 2 * sizeof(std::int64_t) : sizeof(float);
  const auto sample = std::accumulate(shape.begin(), shape.end(), number, std::multiplies<>());
  return sample * static_cast<double>(config.batch) * (LoaderSettings().look_ahead + 1);
}

}  // namespace

Topology allowed_machine(const RunConfig& config) {
  const Topology machine = select_cores(discover_topology({.list_gpus = false}), config.cores);
  for (const Warning& warning : machine.warnings) log_warning(warning.tag, warning.message);
  return machine;
}

MeasuredProfile measure(const Model& model, const RunConfig& config, bool reuse) {
  return profile_model(model, allowed_machine(config), profile_request(config, reuse));
}

Topology board_cores(const std::string& board, const RunConfig& config) {
  return select_cores(discover_topology({.board = board, .list_gpus = false}), config.cores);
}

MeasuredProfile on_board(MeasuredProfile measured, const std::string& board,
                         const RunConfig& config) {
  const Topology there = board_cores(board, config);
  std::string speeds;
  for (const CoreKind& kind : there.kinds)
    speeds +=
        fmt::format("{}{} {:.2f}", speeds.empty() ? "" : ", ", kind.name, kind.relative_speed);
  log_warning(
      "board",
      fmt::format("the costs are this machine's, divided by the speed of each kind of {} ({}, "
                  "by clock and capacity): they rank plans; for times, run `millrace profile "
                  "{} -o costs.json` on the board and plan with --costs",
                  board, speeds, config.model));
  measured.profile = board_costs(measured.profile, there);
  measured.topology = there;
  return measured;
}

TrainSettings planning_settings(const RunConfig& config) {
  TrainSettings settings;
  settings.cores = config.cores;
  settings.plan = plan_request(config);
  settings.reserved_bytes = decoded_bytes(config);
  return settings;
}

Model prepare_model(const RunConfig& config, std::int64_t classes) {
  const bool weights = !config.weights.empty();
  const NewHead head = weights           ? NewHead::where_needed
                       : config.new_head ? NewHead::always
                                         : NewHead::never;
  Model model = open_model(config.model, classes, config.seed, head);
  if (weights) load_weights(model, config.weights, config.new_head ? Head::keep : Head::load);
  return model;
}

TrainSettings train_settings(const RunConfig& config, std::int64_t run_steps) {
  allowed_machine(config);  // says what is wrong with it, before anything is measured
  TrainSettings settings = planning_settings(config);
  settings.machine.list_gpus = false;
  settings.profile = profile_request(config, true);
  settings.optimizer = config.optimizer;
  settings.learning_rate = config.learning_rate;
  settings.learning_rate.total_steps = run_steps;
  settings.seed = config.seed;
  check(settings.optimizer);
  if (config.learning_rate.name == "cosine" && run_steps == 0) {
    throw ConfigError("optimizer",
                      "the cosine schedule needs the number of steps, --time and --deadline "
                      "leave it open: use --steps, --epochs or --schedule-lr constant");
  }
  check(settings.learning_rate);
  if (!config.plan_file.empty()) {
    settings.given_plan = plan_from_json(read_file(config.plan_file, "plan"), config.plan_file);
  }
  if (!config.costs_file.empty()) {
    settings.given_costs =
        profile_from_json(read_file(config.costs_file, "run"), config.costs_file);
  }
  return settings;
}

TrainSettings refined(const Model& model, TrainSettings settings, const RunConfig& config) {
  if (config.refine < 2 || settings.given_plan) return settings;
  const MeasuredProfile measured = chosen_profile(model, settings);
  const RefinedPlan found =
      refine(model, measured, settings, static_cast<int>(config.refine),
             {random_inputs(model, settings.plan.batch),
              random_labels(model, check_model(model).back(), settings.plan.batch)});
  for (const TriedPlan& tried : found.tried) {
    log_info("plan", fmt::format("tried: {} predicted, {} measured: {}",
                                 format_duration(tried.predicted_ns),
                                 format_duration(tried.measured_ns), form_of(tried.plan)));
  }
  settings.given_plan = found.plan;
  settings.given_costs = found.costs;
  return settings;
}

TrainingEnd end_of(const RunConfig& config) {
  return {config.steps, config.epochs, config.time_ns};
}

std::int64_t run_steps(const RunConfig& config, std::int64_t samples) {
  if (config.epochs) return *config.epochs * ((samples + config.batch - 1) / config.batch);
  return config.steps.value_or(0);
}

}  // namespace millrace::cli
