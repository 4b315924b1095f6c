#include "framework/profile/present_costs.hpp"

#include <algorithm>
#include <utility>

#include "framework/profile/kind_costs.hpp"
#include "framework/profile/measuring.hpp"

namespace millrace {
namespace {

/// `topology` with the cores that `rates` has.
Topology rated_cores(Topology topology, const CoreRates& rates) {
  const auto is_rated = [&](int cpu) {
    const std::vector<int> siblings = core_of(topology, cpu);
    return std::any_of(siblings.begin(), siblings.end(),
                       [&](int sibling) { return rates.contains(sibling); });
  };
  for (CoreKind& kind : topology.kinds)
    std::erase_if(kind.cpus, [&](int cpu) { return !is_rated(cpu); });
  std::erase_if(topology.kinds, [](const CoreKind& kind) { return kind.cpus.empty(); });
  return topology;
}

KindOrigin origin_of(const CoreKind& kind, const Topology& formed, const MeasuredProfile& measured,
                     const CoreRates& now) {
  const std::vector<int> devices = device_cpus(formed, kind);
  KindOrigin origin;
  origin.measured = measured.topology.kind_of(devices.front())->name;
  origin.kind = measured.profile
                    .kinds[static_cast<std::size_t>(measured.profile.kind_index(origin.measured))];
  origin.kind.name = kind.name;
  origin.kind.count = static_cast<int>(devices.size());
  std::vector<double> changes;
  for (const int cpu : devices) changes.push_back(now.at(cpu) / measured.rates.at(cpu));
  origin.speed = median(std::move(changes));
  return origin;
}

}  // namespace

MeasuredProfile present_costs(const MeasuredProfile& measured, const CoreRates& now) {
  if (compare_rates(measured.rates, now).verdict == RateChange::Verdict::same) return measured;
  MeasuredProfile present = measured;
  present.rates = now;
  present.topology = form_kinds(rated_cores(measured.topology, now), now);
  std::vector<KindOrigin> kinds;
  for (const CoreKind& kind : present.topology.kinds)
    kinds.push_back(origin_of(kind, present.topology, measured, now));
  for (const DeviceKind& kind : measured.profile.kinds) {
    const auto same = [&](const CoreKind& core) { return core.name == kind.name; };
    const auto& cores = measured.topology.kinds;
    if (std::none_of(cores.begin(), cores.end(), same)) kinds.push_back({kind, kind.name, 1});
  }
  present.profile = costs_of_kinds(measured.profile, kinds);
  return present;
}

}  // namespace millrace
