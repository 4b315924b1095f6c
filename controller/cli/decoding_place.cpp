#include "controller/cli/decoding_place.hpp"

#include <algorithm>
#include <iterator>
#include <set>

namespace millrace::cli {

DecodingPlace decoding_place(const Plan& plan, const Topology& topology) {
  std::set<int> owned;
  for (const PlanStage& stage : plan.stages)
    for (const PlannedDevice& device : stage.devices) owned.insert(device.cpu);
  std::vector<int> cores, free;
  for (const CoreKind& kind : topology.kinds)
    for (const int cpu : device_cpus(topology, kind)) cores.push_back(cpu);
  std::copy_if(cores.begin(), cores.end(), std::back_inserter(free),
               [&](int cpu) { return !owned.contains(cpu); });
  if (!free.empty()) return {free, true};
  return {cores, plan.stages.size() > 1};
}

}  // namespace millrace::cli
