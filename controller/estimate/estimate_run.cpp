#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>

#include "controller/estimate/quantile.hpp"
#include "controller/estimate/tried_steps.hpp"
#include "controller/estimate/what_if.hpp"
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

/// Speed of a kind, by the layers that both run, against kind `base`.
double relative_speed(const Profile& profile, const std::string& kind, const std::string& base) {
  double base_ns = 0, own_ns = 0;
  for (const LayerCosts& layer : profile.layers) {
    const auto of_base = layer.forward_ns.find(base);
    const auto own = layer.forward_ns.find(kind);
    if (of_base == layer.forward_ns.end() || own == layer.forward_ns.end()) continue;
    base_ns += of_base->second.back();
    own_ns += own->second.back();
  }
  return own_ns > 0 ? base_ns / own_ns : 1;
}

/// How fast a core of each kind decodes, against one of the first; devices that are none do not.
class DecodingSpeeds {
 public:
  explicit DecodingSpeeds(const Profile& profile) {
    const auto first = std::find_if(profile.kinds.begin(), profile.kinds.end(), is_core);
    for (const DeviceKind& kind : profile.kinds) {
      const double speed = is_core(kind) ? relative_speed(profile, kind.name, first->name) : 0;
      of_kind_[kind.name] = speed;
      of_all_ += kind.count * speed;
    }
  }
  double of(const std::string& kind) const { return of_kind_.at(kind); }
  double of_all() const { return of_all_ > 0 ? of_all_ : 1; }

 private:
  std::map<std::string, double> of_kind_;
  double of_all_ = 0;
};

/// Core time that the stages use, as decoding could have used it; waiting in bubbles is none.
double busy_ns(const DecodingSpeeds& speeds, const Plan& plan, const std::vector<StageTimes>& times,
               int micro_batches, bool training) {
  double busy = 0;
  for (std::size_t s = 0; s < times.size(); ++s) {
    double cores = 0;
    for (const PlannedDevice& device : plan.stages[s].devices) cores += speeds.of(device.kind);
    const double forward = sum(times[s].forward_ns, micro_batches);
    const double learning = sum(times[s].backward_ns, micro_batches) +
                            sum(times[s].weight_gradient_ns, micro_batches) + times[s].update_ns;
    busy += cores * (forward + (training ? learning : 0));
  }
  return busy;
}

/// Decoding fills the cores' idle time first; what is left is shared by all cores.
double with_loader_ns(const DecodingSpeeds& speeds, double step_ns, double busy_core_ns,
                      double decoding_ns) {
  const double idle = std::max(0.0, speeds.of_all() * step_ns - busy_core_ns);
  return step_ns + std::max(0.0, decoding_ns - idle) / speeds.of_all();
}

double pass_ns(const Profile& profile, const Plan& plan, std::int64_t samples, bool training) {
  const auto times = predicted_times(plan, profile, samples);
  const auto micro_batches = static_cast<int>((samples + plan.micro_batch - 1) / plan.micro_batch);
  const Schedule schedule =
      make_schedule(training ? plan.schedule : "forward-only", lanes_of(plan), micro_batches);
  const DecodingSpeeds speeds(profile);
  return with_loader_ns(speeds, simulate_makespan_ns(schedule, times),
                        busy_ns(speeds, plan, times, micro_batches, training),
                        profile.loader_ns_per_sample.value_or(0) * static_cast<double>(samples));
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

double evaluation_ns_per_sample(const Profile& profile, const Plan& plan,
                                const std::optional<Rehearsal>& tried) {
  if (tried && tried->evaluated_samples > 0)
    return tried->evaluation_ns / static_cast<double>(tried->evaluated_samples);
  return pass_ns(profile, plan, plan.batch, false) / static_cast<double>(plan.batch);
}

void check_shape(const RunShape& shape) {
  MILLRACE_CHECK(shape.steps >= 0 && shape.short_steps >= 0 && shape.short_steps <= shape.steps,
                 "estimate", "a run's short steps are some of its steps");
  MILLRACE_CHECK(shape.evaluated_samples >= 0 && shape.checkpoints >= 0, "estimate",
                 "a run's counts are not negative");
}

}  // namespace

Estimate estimate_run(const Profile& profile, const Plan& plan, const RunShape& shape,
                      double confidence, const std::optional<Rehearsal>& tried) {
  check_confidence(confidence);
  check_shape(shape);
  const double z = normal_quantile(confidence);
  const double simulated = pass_ns(profile, plan, plan.batch, true);
  Spread spread = spread_of(profile);
  double step = simulated;
  if (tried) {
    const TriedSteps steps = tried_steps(tried->steps_ns, spread.independent);
    step = steps.mean_ns;
    spread = {steps.uncertainty, steps.spread};
  }
  const std::int64_t short_steps = shape.last_step_samples > 0 ? shape.short_steps : 0;
  const double short_step =
      short_steps > 0 ? step / simulated * pass_ns(profile, plan, shape.last_step_samples, true)
                      : 0;
  const double evaluation = shape.evaluated_samples > 0
                                ? evaluation_ns_per_sample(profile, plan, tried) *
                                      static_cast<double>(shape.evaluated_samples)
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
