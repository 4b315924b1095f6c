#include "controller/cli/torch/preparation.hpp"

#include <fmt/format.h>

#include "controller/cli/planning.hpp"
#include "controller/cli/torch/profile_bar.hpp"
#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "models/weights.hpp"
#include "models/zoo.hpp"

namespace millrace::cli {
namespace {

ProfileRequest profile_request(const RunConfig& config, bool reuse) {
  ProfileRequest request;
  request.batch = config.batch.value_or(request.batch);
  request.reuse = reuse;
  request.progress = ProfileBar();
  return request;
}

/// A plan of a file is for one model; the rest is checked against the costs.
Plan read_plan(const RunConfig& config) {
  Plan plan = plan_from_json(read_file(config.plan_file, "plan"), config.plan_file);
  if (plan.model != config.model) {
    throw ConfigError("plan",
                      fmt::format("{} is a plan for {}, this is {}: search one with "
                                  "`millrace plan {} -o FILE`",
                                  config.plan_file, plan.model, config.model, config.model));
  }
  return plan;
}

Plan plan_of_open_batch(const Model& model, const RunConfig& config) {
  const MeasuredProfile measured = measure(model, config, true);
  PlanRequest request = plan_request(config);
  request.cpus = cpus_by_kind(measured.topology);
  Plan plan = make_plan(measured.profile, config, request);
  log_info("plan", fmt::format("batch auto: {}", plan.batch));
  return plan;
}

}  // namespace

Topology allowed_machine(const RunConfig& config) {
  const Topology machine = discover_topology({.list_gpus = false});
  for (const Warning& warning : machine.warnings) log_warning(warning.tag, warning.message);
  return select_cores(machine, config.cores);
}

MeasuredProfile measure(const Model& model, const RunConfig& config, bool reuse) {
  return profile_model(model, allowed_machine(config), profile_request(config, reuse));
}

Model prepare_model(const RunConfig& config, std::int64_t classes) {
  Model model = make_model(config.model, classes);
  initialise(model, config.seed);
  if (!config.weights.empty()) {
    load_weights(model, config.weights, config.new_head ? Head::keep : Head::load);
  }
  return model;
}

TrainSettings train_settings(const Model& model, const RunConfig& config, std::int64_t run_steps) {
  TrainSettings settings;
  settings.machine.list_gpus = false;
  settings.cores = config.cores;
  settings.profile = profile_request(config, true);
  settings.plan = plan_request(config);
  settings.optimizer = config.optimizer;
  settings.learning_rate = config.learning_rate;
  settings.learning_rate.total_steps = run_steps;
  settings.seed = config.seed;
  if (config.learning_rate.name == "cosine" && run_steps == 0) {
    throw ConfigError("optimizer",
                      "the cosine schedule needs the number of steps, --time leaves it "
                      "open: use --steps, --epochs or --schedule-lr constant");
  }
  if (!config.plan_file.empty()) settings.given_plan = read_plan(config);
  if (!config.batch && config.plan_file.empty()) {
    settings.given_plan = plan_of_open_batch(model, config);
  }
  if (settings.given_plan) settings.plan.batch = settings.given_plan->batch;
  return settings;
}

TrainingEnd end_of(const RunConfig& config) {
  return {config.steps, config.epochs, config.time_ns};
}

std::int64_t run_steps(const RunConfig& config, std::int64_t samples) {
  const std::int64_t batch = config.batch.value_or(plan_request(config).batch);
  if (config.epochs) return *config.epochs * ((samples + batch - 1) / batch);
  return config.steps.value_or(0);
}

}  // namespace millrace::cli
