#include "controller/cli/torch/what_if.hpp"

#include <fmt/format.h>

#include <utility>

#include "controller/cli/planning.hpp"
#include "controller/cli/torch/preparation.hpp"
#include "controller/forecast.hpp"
#include "framework/planning.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "millrace/units.hpp"

namespace millrace::cli {
namespace {

/// Weights and what the optimizer keeps of them: all that is kept but their gradients.
double state_bytes(const Profile& costs) {
  double weights = 0;
  for (const LayerCosts& layer : costs.layers) weights += layer.weights_bytes;
  return weights * (costs.bytes_per_weight_byte - 1);
}

/// Options with one core, two, …, up to the first that is in time.
std::vector<PlanOption> options_until(const RunQuestion& run, double left_ns) {
  std::vector<PlanOption> options;
  for (int cores = 1; cores <= core_count(run.measured.profile); ++cores) {
    options.push_back(option_with(run, cores));
    if (fewest_cores_in_time(options, left_ns)) break;
  }
  return options;
}

}  // namespace

Estimate estimate_of(const RunQuestion& run, const Plan& plan, const Profile& costs) {
  const RunOutline outline{plan, costs, run.training_samples, run.validation_samples};
  const Calendar calendar({end_of(run.config), outline.steps_per_epoch(),
                           run.config.evaluate_every_epochs, run.config.checkpoint_every_steps});
  return Forecast(outline, calendar,
                  {state_bytes(costs) * run.write_ns_per_byte, 0.99, run.rehearsal},
                  run.trained_steps, 0)
      .first();
}

MeasuredProfile with_cores(const MeasuredProfile& measured, int cores) {
  MeasuredProfile fewer = measured;
  const std::vector<int> counts = fastest_cores(measured.profile, cores);
  fewer.profile = limited_to(measured.profile, counts);
  std::vector<int> cpus;
  for (std::size_t k = 0; k < counts.size(); ++k) {
    for (const CoreKind& kind : measured.topology.kinds) {
      if (kind.name != measured.profile.kinds[k].name) continue;
      const std::vector<int> devices = device_cpus(measured.topology, kind);
      cpus.insert(cpus.end(), devices.begin(), devices.begin() + counts[k]);
    }
  }
  fewer.topology = select_cores(measured.topology, format_cpu_list(cpus));
  return fewer;
}

PlanOption option_with(const RunQuestion& run, int cores) {
  PlanOption option;
  option.cores = cores;
  option.batch = run.config.batch;
  const MeasuredProfile costs = with_cores(run.measured, cores);
  try {
    option.plan = chosen_plan(costs, run.settings);
    option.estimate = estimate_of(run, *option.plan, costs.profile);
  } catch (const NoPlanError& none) {
    option.why_not = std::string(none.what()).substr(none.tag().size() + 3);
  }
  return option;
}

TrainSettings settings_for(const RunQuestion& run, std::int64_t batch) {
  RunConfig config = run.config;
  config.batch = batch;
  const TrainSettings asked = planning_settings(config);
  TrainSettings settings = run.settings;
  settings.plan = asked.plan;
  settings.reserved_bytes = asked.reserved_bytes;
  return settings;
}

std::vector<PlanOption> options_of(RunQuestion run, const std::vector<std::int64_t>& batches,
                                   const std::vector<int>& core_counts) {
  std::vector<PlanOption> options;
  for (const std::int64_t batch : batches) {
    run.config.batch = batch;
    run.settings = settings_for(run, batch);
    const PlanOption one_core = option_with(run, 1);
    for (const int cores : core_counts) {
      PlanOption option = cores == 1 ? one_core : option_with(run, cores);
      if (one_core.plan && option.plan)
        option.efficiency_percent = efficiency_percent(one_core.estimate, option.estimate, cores);
      options.push_back(std::move(option));
    }
  }
  return options;
}

TrainSettings settings_in_time(const RunQuestion& run, double left_ns) {
  const std::vector<PlanOption> options = options_until(run, left_ns);
  const auto in_time = fewest_cores_in_time(options, left_ns);
  const auto taken = in_time ? in_time : fastest_option(options);
  if (!taken) throw NoPlanError("plan", options.back().why_not);
  const PlanOption& option = options[*taken];
  log_info("deadline", fmt::format("{}, {} of {} cores, takes {} (latest {})",
                                   in_time ? "the plan with the fewest cores that are enough"
                                           : "no plan is sure to be done in time; the fastest",
                                   option.cores, core_count(run.measured.profile),
                                   format_duration(option.estimate.run.expected_ns),
                                   format_duration(option.estimate.run.latest_ns)));
  TrainSettings settings = run.settings;
  settings.given_plan = option.plan;
  settings.given_costs = with_cores(run.measured, option.cores).profile;
  settings.measured_cores = run.settings.cores;
  settings.cores = cores_of(*option.plan);
  return settings;
}

std::string cores_of(const Plan& plan) {
  std::vector<int> cpus;
  for (const PlanStage& stage : plan.stages)
    for (const PlannedDevice& device : stage.devices) cpus.push_back(device.cpu);
  return format_cpu_list(cpus);
}

}  // namespace millrace::cli
