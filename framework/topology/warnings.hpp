#pragma once
// Warnings about the machine itself; those about the environment are environment_warnings().

#include <vector>

#include "framework/topology/system_files.hpp"
#include "millrace/topology.hpp"

namespace millrace {

/// Quota below the cores, SMT siblings, governors that hold the clock down.
std::vector<Warning> machine_warnings(const Topology& topology, const SystemFiles& files);

}  // namespace millrace
