#include "framework/refine.hpp"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <utility>

#include "framework/kept_buffers.hpp"
#include "framework/planning.hpp"
#include "framework/profile/cost_graph.hpp"

namespace millrace {
namespace {

constexpr int kRounds = 3, kWarmSteps = 1, kTimedSteps = 2;

/// The faster of a few steps, once the plan's memory is there.
double step_ns(const Model& model, const TrainSettings& settings, const Batch& batch) {
  TrainStep step = TrainStep::prepare(model, settings);
  for (int i = 0; i < kWarmSteps; ++i) step.step(batch);
  std::vector<double> ns;
  for (int i = 0; i < kTimedSteps; ++i) ns.push_back(double(step.step(batch).wall_ns()));
  return *std::min_element(ns.begin(), ns.end());
}

double predicted_step_ns(const Plan& plan, const Profile& profile) {
  return simulate_makespan_ns(
      make_schedule(plan.schedule, lanes_of(plan), static_cast<int>(plan.micro_batches)),
      predicted_times(plan, profile, plan.batch));
}

std::vector<TriedPlan> try_plans(const Model& model, const MeasuredProfile& measured,
                                 TrainSettings settings, const std::vector<Plan>& plans,
                                 const Batch& batch) {
  const KeptBuffers kept(model);
  settings.optimizer.learning_rate = 0;
  settings.given_costs = measured.profile;
  std::vector<std::vector<double>> ns(plans.size());
  for (int round = 0; round < kRounds; ++round) {
    for (std::size_t i = 0; i < plans.size(); ++i) {
      settings.given_plan = plans[i];
      ns[i].push_back(step_ns(model, settings, batch));
    }
  }
  std::vector<TriedPlan> tried;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    std::nth_element(ns[i].begin(), ns[i].begin() + kRounds / 2, ns[i].end());
    tried.push_back({plans[i], predicted_step_ns(plans[i], measured.profile), ns[i][kRounds / 2]});
  }
  return tried;
}

}  // namespace

RefinedPlan refine(const Model& model, const MeasuredProfile& measured,
                   const TrainSettings& settings, int count, const Batch& batch) {
  const std::vector<Plan> plans = chosen_plans(measured, settings, count);
  RefinedPlan refined{measured.profile, {}, try_plans(model, measured, settings, plans, batch)};
  const TriedPlan& best = *std::min_element(
      refined.tried.begin(), refined.tried.end(),
      [](const TriedPlan& a, const TriedPlan& b) { return a.measured_ns < b.measured_ns; });
  if (best.predicted_ns > 0)
    refined.costs = at_speed(measured.profile, best.predicted_ns / best.measured_ns);
  TrainSettings taken = settings;
  taken.given_plan = best.plan;
  taken.given_costs = refined.costs;
  refined.plan = chosen_plan({refined.costs, measured.topology, true, "", {}}, taken);
  return refined;
}

}  // namespace millrace
