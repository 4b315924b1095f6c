#pragma once
// What hwloc says about a machine, before anything is made of it.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "millrace/topology.hpp"

namespace millrace {

/// A kind of core as hwloc reports it: on real boards there may be too many, or too few.
struct RawKind {
  std::vector<int> cpus;
  int rank = -1;                             ///< 0 is the slowest; -1 where hwloc knows no order
  std::map<std::string, std::string> infos;  ///< "LinuxCapacity", "FrequencyMaxMHz", "CoreType", …
};

struct RawMachine {
  bool this_system = false;  ///< false: read from a file, so that nothing can be bound or measured
  std::string product;       ///< DMI product or platform name, "" where unknown
  std::string cpu_model;     ///< "AMD EPYC …", "" where unknown
  std::vector<int> allowed_cpus;        ///< of the calling thread, where this_system
  std::vector<std::vector<int>> cores;  ///< the CPUs of each, ascending
  std::vector<Cache> caches;
  std::vector<NumaNode> numa_nodes;
  std::int64_t memory_bytes = 0;
  std::vector<RawKind> kinds;
};

/// Reads this machine, or `xml_file`. hwloc's environment (HWLOC_XMLFILE, HWLOC_THISSYSTEM, …)
/// holds where no file is given. Throws ConfigError (tag "topology") where hwloc rejects it.
RawMachine read_machine(const std::optional<std::string>& xml_file);

}  // namespace millrace
