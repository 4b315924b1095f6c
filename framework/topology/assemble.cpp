#include "framework/topology/assemble.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "framework/topology/cgroup.hpp"
#include "framework/topology/core_kinds.hpp"
#include "framework/topology/system_files.hpp"
#include "framework/topology/warnings.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

void append(std::vector<Warning>& warnings, const std::vector<Warning>& more) {
  warnings.insert(warnings.end(), more.begin(), more.end());
}

std::vector<std::vector<int>> usable_cores(const RawMachine& machine) {
  std::vector<std::vector<int>> cores;
  for (std::vector<int> core : machine.cores) {
    std::erase_if(core, [&](int cpu) {
      return !std::binary_search(machine.allowed_cpus.begin(), machine.allowed_cpus.end(), cpu);
    });
    if (!core.empty()) cores.push_back(std::move(core));
  }
  return cores;
}

std::vector<int> cpus_of(const std::vector<std::vector<int>>& cores) {
  std::vector<int> cpus;
  for (const auto& core : cores) cpus.insert(cpus.end(), core.begin(), core.end());
  std::sort(cpus.begin(), cpus.end());
  return cpus;
}

// The kernel knows how fast a core is even where hwloc was told nothing (an XML file that was
// written elsewhere, a hwloc without this board).
std::vector<RawKind> kinds_by_capacity(const std::vector<int>& cpus, const SystemFiles& files) {
  std::map<int, RawKind> by_capacity;
  for (const int cpu : cpus) {
    const auto capacity = files.cpu_capacity(cpu);
    if (!capacity) return {};
    by_capacity[*capacity].cpus.push_back(cpu);
    by_capacity[*capacity].infos["LinuxCapacity"] = fmt::format("{}", *capacity);
  }
  std::vector<RawKind> kinds;
  for (auto& [capacity, kind] : by_capacity) kinds.push_back(std::move(kind));
  return kinds;
}

CoreKinds core_kinds(const RawMachine& machine, const Topology& topology,
                     const SystemFiles& files) {
  const std::vector<int>& cpus = topology.limits.allowed_cpus;
  if (machine.this_system && machine.kinds.size() < 2) {
    const std::vector<RawKind> kinds = kinds_by_capacity(cpus, files);
    if (kinds.size() > 1) {
      CoreKinds formed = form_core_kinds(kinds, cpus, topology.cores);
      formed.warnings.push_back(
          {"kinds",
           fmt::format("hwloc reports {} kinds of core, the kernel's cpu_capacity tells {} "
                       "apart: the kernel's are used. A newer hwloc would agree",
                       machine.kinds.size(), kinds.size())});
      return formed;
    }
  }
  return form_core_kinds(machine.kinds, cpus, topology.cores);
}

void add_system_facts(Topology& topology, const std::filesystem::path& root) {
  const SystemFiles files(root);
  const CgroupLimits cgroup = read_cgroup_limits(root);
  topology.limits.cpu_quota = cgroup.cpu_quota;
  topology.limits.memory_limit_bytes = cgroup.memory_limit_bytes;
  // Memory that is plugged in while the machine runs is missing from the NUMA nodes' files.
  topology.memory_bytes = files.memory_total_bytes().value_or(topology.memory_bytes);
  topology.memory_available_bytes =
      std::min(files.memory_available_bytes().value_or(topology.memory_bytes),
               cgroup.memory_left_bytes.value_or(topology.memory_bytes));
  if (const auto model = files.device_tree_model()) topology.machine = *model;
  for (CoreKind& kind : topology.kinds) {
    if (kind.model.empty()) kind.model = files.core_model(kind.cpus.front()).value_or("");
  }
  append(topology.warnings, clock_warnings(topology, files));
}

}  // namespace

Topology assemble_topology(const RawMachine& machine, const std::filesystem::path& root) {
  Topology topology;
  topology.machine = machine.cpu_model.empty() ? machine.product : machine.cpu_model;
  topology.cores = usable_cores(machine);
  topology.limits.allowed_cpus = cpus_of(topology.cores);
  if (topology.cores.empty()) {
    throw ConfigError(
        "topology",
        fmt::format("no core is allowed: the machine has CPUs {}, the thread may run on "
                    "\"{}\": widen its affinity mask (taskset) or cpuset",
                    format_cpu_list(cpus_of(machine.cores)),
                    format_cpu_list(machine.allowed_cpus)));
  }
  topology.caches = machine.caches;
  topology.numa_nodes = machine.numa_nodes;
  topology.memory_bytes = machine.memory_bytes;
  CoreKinds kinds = core_kinds(machine, topology, SystemFiles(root));
  topology.kinds = std::move(kinds.kinds);
  topology.warnings = std::move(kinds.warnings);
  if (machine.this_system) add_system_facts(topology, root);
  append(topology.warnings, core_warnings(topology));
  return topology;
}

}  // namespace millrace
