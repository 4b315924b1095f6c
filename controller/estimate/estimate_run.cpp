#include <algorithm>
#include <cmath>
#include <numeric>

#include "controller/estimate/quantile.hpp"
#include "millrace/errors.hpp"
#include "millrace/estimate.hpp"
#include "millrace/schedule.hpp"

namespace millrace {
namespace {

/// Relative deviations of the step time.
struct Spread {
  double common = 0;  ///< of all steps together: the machine's state, and the simulation's error
  double independent = 0;  ///< of each step by itself
};

/// What simulation with measured costs leaves out (queueing, memory traffic between stages).
constexpr double kSimulationError = 0.02;
/// Of a layer whose spread was not measured.
constexpr double kUnknownSpread = 0.05;
/// Of what a probe of a few megabytes says about writing hundreds.
constexpr double kCheckpointSpread = 0.3;

/// Over the micro-batches, which may have one entry for all.
double sum(const std::vector<double>& values, int micro_batches) {
  if (values.size() == 1) return micro_batches * values.front();
  return std::accumulate(values.begin(), values.end(), 0.0);
}

bool is_core(const DeviceKind& kind) { return !kind.name.starts_with("gpu"); }

int cores_of(const Profile& profile) {
  int cores = 0;
  for (const DeviceKind& kind : profile.kinds) cores += is_core(kind) ? kind.count : 0;
  return std::max(1, cores);
}

bool is_core(const Profile& profile, const PlannedDevice& device) {
  const int kind = profile.kind_index(device.kind);
  return kind < 0 || is_core(profile.kinds[static_cast<std::size_t>(kind)]);
}

/// Core time that the stages use; waiting in bubbles is none.
double busy_ns(const Profile& profile, const Plan& plan, const std::vector<StageTimes>& times,
               int micro_batches, bool training) {
  double busy = 0;
  for (std::size_t s = 0; s < times.size(); ++s) {
    const auto& devices = plan.stages[s].devices;
    const auto cores = std::count_if(devices.begin(), devices.end(),
                                     [&](const auto& device) { return is_core(profile, device); });
    const double forward = sum(times[s].forward_ns, micro_batches);
    const double learning = sum(times[s].backward_ns, micro_batches) +
                            sum(times[s].weight_gradient_ns, micro_batches) + times[s].update_ns;
    busy += static_cast<double>(cores) * (forward + (training ? learning : 0));
  }
  return busy;
}

/// Decoding fills the cores' idle time first; what is left is shared by all cores.
double with_loader_ns(const Profile& profile, double step_ns, double busy_core_ns,
                      std::int64_t samples) {
  const double cores = cores_of(profile);
  const double idle = std::max(0.0, cores * step_ns - busy_core_ns);
  const double work = profile.loader_ns_per_sample.value_or(0) * static_cast<double>(samples);
  return step_ns + std::max(0.0, work - idle) / cores;
}

double pass_ns(const Profile& profile, const Plan& plan, std::int64_t samples, bool training) {
  const auto times = predicted_times(plan, profile, samples);
  const auto micro_batches = static_cast<int>((samples + plan.micro_batch - 1) / plan.micro_batch);
  const Schedule schedule = make_schedule(training ? plan.schedule : "forward-only",
                                          lanes_of(plan), micro_batches);
  return with_loader_ns(profile, simulate_makespan_ns(schedule, times),
                        busy_ns(profile, plan, times, micro_batches, training), samples);
}

/// The layers' measured spreads, weighted by what each costs at the largest sample count.
Spread spread_of(const Profile& profile) {
  double weights = 0, weighted = 0;
  for (const LayerCosts& layer : profile.layers) {
    if (layer.forward_ns.empty()) continue;
    const auto& [kind, forward] = *layer.forward_ns.begin();
    const auto backward = layer.backward_ns.find(kind);
    const double weight =
        forward.back() + (backward == layer.backward_ns.end() ? 0 : backward->second.back());
    weights += weight;
    weighted += weight * layer.spread_percent.value_or(100 * kUnknownSpread) / 100;
  }
  const double measured = weights > 0 ? weighted / weights : kUnknownSpread;
  return {std::hypot(measured, kSimulationError), measured};
}

void check_shape(const RunShape& shape) {
  MILLRACE_CHECK(shape.steps >= 0 && shape.short_steps >= 0 && shape.short_steps <= shape.steps,
                 "estimate", "a run's short steps are some of its steps");
  MILLRACE_CHECK(shape.evaluated_samples >= 0 && shape.checkpoints >= 0, "estimate",
                 "a run's counts are not negative");
}

}  // namespace

Estimate estimate_run(const Profile& profile, const Plan& plan, const RunShape& shape,
                      double confidence) {
  check_confidence(confidence);
  check_shape(shape);
  const double z = normal_quantile(confidence);
  const Spread spread = spread_of(profile);
  const double step = pass_ns(profile, plan, plan.batch, true);
  const std::int64_t short_steps = shape.last_step_samples > 0 ? shape.short_steps : 0;
  const double short_step =
      short_steps > 0 ? pass_ns(profile, plan, shape.last_step_samples, true) : 0;
  const double evaluation = shape.evaluated_samples > 0
                                ? pass_ns(profile, plan, plan.batch, false) *
                                      static_cast<double>(shape.evaluated_samples) /
                                      static_cast<double>(plan.batch)
                                : 0;
  const auto full_steps = static_cast<double>(shape.steps - short_steps);

  Estimate estimate;
  estimate.confidence = confidence;
  estimate.common_spread = spread.common;
  estimate.step_spread = spread.independent;
  estimate.images_per_second = static_cast<double>(plan.batch) * 1e9 / step;
  estimate.step.expected_ns = step;
  estimate.step.latest_ns = step * (1 + z * std::hypot(spread.common, spread.independent));
  const double computing =
      full_steps * step + static_cast<double>(short_steps) * short_step + evaluation;
  const double saving = static_cast<double>(shape.checkpoints) * shape.checkpoint_ns;
  estimate.run.expected_ns = computing + saving;
  const double together = spread.common * estimate.run.expected_ns;
  const double apart =
      spread.independent * std::sqrt(full_steps * step * step +
                                     static_cast<double>(short_steps) * short_step * short_step);
  estimate.run.latest_ns =
      estimate.run.expected_ns + z * std::hypot(together, apart, kCheckpointSpread * saving);
  return estimate;
}

}  // namespace millrace
