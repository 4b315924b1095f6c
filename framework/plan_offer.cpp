#include "framework/plan_offer.hpp"

#include <algorithm>
#include <utility>

#include "framework/planning.hpp"
#include "framework/profile/present_costs.hpp"

namespace millrace {

std::vector<int> present_cpus(const MeasuredProfile& base, const Topology& machine) {
  const std::vector<int> allowed = machine.cpus();
  std::vector<int> cpus;
  for (const auto& [cpu, rate] : base.rates)
    if (std::find(allowed.begin(), allowed.end(), cpu) != allowed.end()) cpus.push_back(cpu);
  return cpus;
}

PlanOffer offer_plan(const MeasuredProfile& base, const TrainSettings& settings,
                     const std::map<int, double>& rates) {
  PlanOffer offer;
  for (const auto& [cpu, rate] : rates) offer.speeds[cpu] = rate / base.rates.at(cpu);
  MeasuredProfile present = present_costs(base, rates);
  offer.plan = chosen_plans(present, settings, 1).front();
  offer.costs = std::move(present.profile);
  return offer;
}

}  // namespace millrace
