#pragma once
// From what hwloc and the system's files say to the Topology value.

#include <filesystem>

#include "framework/topology/machine.hpp"
#include "millrace/topology.hpp"

namespace millrace {

/// All but the source, the GPUs and the warnings about the environment. `root` stands for "/" (a
/// seam for tests) and is read only where `machine` is this system. Throws ConfigError (tag
/// "topology") where no core is allowed.
Topology assemble_topology(const RawMachine& machine, const std::filesystem::path& root = "/");

}  // namespace millrace
