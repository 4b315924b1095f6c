#include "framework/profile/core_rates.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "framework/profile/measuring.hpp"
#include "framework/topology/core_kinds.hpp"

namespace millrace {
namespace {

constexpr double kLargestCorrection = 1.5;

double fastest(const std::vector<int>& cpus, const CoreRates& rates) {
  double best = 0;
  for (const int cpu : cpus) {
    const auto found = rates.find(cpu);
    if (found != rates.end()) best = std::max(best, found->second);
  }
  return best;
}

/// The devices of `kind` in groups of equal speed, fastest group first.
std::vector<std::vector<int>> speed_groups(const Topology& topology, const CoreKind& kind,
                                           const CoreRates& rates) {
  std::vector<int> cpus = device_cpus(topology, kind);
  std::stable_sort(cpus.begin(), cpus.end(),
                   [&](int a, int b) { return rates.at(a) > rates.at(b); });
  std::vector<std::vector<int>> groups;
  for (const int cpu : cpus) {
    const bool joins =
        !groups.empty() && rates.at(cpu) >= (1 - kKindTolerance) * rates.at(groups.back().front());
    if (!joins) groups.emplace_back();
    groups.back().push_back(cpu);
  }
  return groups;
}

/// `kind` with those of its CPUs that belong to the cores in `devices`, in the kind's order.
CoreKind part_of_kind(const Topology& topology, const CoreKind& kind,
                      const std::vector<int>& devices) {
  CoreKind part = kind;
  part.cpus.clear();
  for (const int cpu : kind.cpus) {
    const std::vector<int> siblings = core_of(topology, cpu);
    const bool inside = std::any_of(devices.begin(), devices.end(), [&](int device) {
      return std::find(siblings.begin(), siblings.end(), device) != siblings.end();
    });
    if (inside) part.cpus.push_back(cpu);
  }
  return part;
}

void order_and_name(std::vector<CoreKind>& kinds, const CoreRates& rates) {
  std::stable_sort(kinds.begin(), kinds.end(), [&](const CoreKind& a, const CoreKind& b) {
    return fastest(a.cpus, rates) > fastest(b.cpus, rates);
  });
  for (std::size_t rank = 0; rank < kinds.size(); ++rank) {
    kinds[rank].name = kind_name(rank, kinds.size());
  }
}

}  // namespace

bool kinds_differ(const Topology& topology, const CoreRates& rates) {
  return std::any_of(topology.kinds.begin(), topology.kinds.end(), [&](const CoreKind& kind) {
    return speed_groups(topology, kind, rates).size() > 1;
  });
}

Topology form_kinds(const Topology& topology, const CoreRates& rates) {
  Topology formed = topology;
  if (kinds_differ(topology, rates)) {
    formed.kinds.clear();
    for (const CoreKind& kind : topology.kinds) {
      for (const auto& group : speed_groups(topology, kind, rates)) {
        formed.kinds.push_back(part_of_kind(topology, kind, group));
      }
    }
    order_and_name(formed.kinds, rates);
  }
  double best = 0;
  for (const CoreKind& kind : formed.kinds) best = std::max(best, fastest(kind.cpus, rates));
  for (CoreKind& kind : formed.kinds) kind.relative_speed = fastest(kind.cpus, rates) / best;
  return formed;
}

RateChange compare_rates(const CoreRates& then, const CoreRates& now) {
  std::vector<double> ratios;
  for (const auto& [cpu, rate] : now) {
    const auto found = then.find(cpu);
    if (found == then.end()) return {RateChange::Verdict::changed, 1};
    ratios.push_back(rate / found->second);
  }
  if (then.size() != now.size() || now.empty()) return {RateChange::Verdict::changed, 1};
  const double factor = median(ratios);
  const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
  const bool together = *least >= (1 - kKindTolerance) * *most;
  if (!together || std::max(factor, 1 / factor) > kLargestCorrection) {
    return {RateChange::Verdict::changed, factor};
  }
  const bool same = std::max(factor, 1 / factor) <= 1 / (1 - kSpeedTolerance);
  return {same ? RateChange::Verdict::same : RateChange::Verdict::uniform, factor};
}

CoreRates best_of(const CoreRates& a, const CoreRates& b) {
  CoreRates best = a;
  for (const auto& [cpu, rate] : b) best[cpu] = std::max(best[cpu], rate);
  return best;
}

}  // namespace millrace
