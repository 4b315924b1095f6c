#include "framework/plan_offer.hpp"

#include <algorithm>
#include <utility>

#include "framework/planning.hpp"
#include "framework/profile/present_costs.hpp"

namespace millrace {

std::vector<int> present_cpus(const MeasuredProfile& base, const Topology& machine,
                              const std::string& cores) {
  const std::vector<int> there = machine.cpus();
  const bool by_kind = cores == "all" || cores == "big" || cores == "little";
  const std::vector<int> wanted = by_kind ? there : parse_cpu_list(cores);
  const auto is_in = [](const std::vector<int>& cpus, int cpu) {
    return std::find(cpus.begin(), cpus.end(), cpu) != cpus.end();
  };
  std::vector<int> cpus;
  for (const auto& [cpu, rate] : base.rates)
    if (is_in(there, cpu) && is_in(wanted, cpu)) cpus.push_back(cpu);
  return cpus;
}

void limit_memory(TrainSettings& settings, std::int64_t bytes) {
  const std::int64_t asked = bytes + static_cast<std::int64_t>(settings.reserved_bytes);
  settings.plan.memory_bytes = std::min(asked, settings.plan.memory_bytes.value_or(asked));
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
