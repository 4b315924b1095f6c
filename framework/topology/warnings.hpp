#pragma once
// Warnings about the machine itself; those about the environment are environment_warnings().

#include <vector>

#include "framework/topology/system_files.hpp"
#include "millrace/topology.hpp"

namespace millrace {

/// A quota below the cores ("quota"), SMT siblings ("smt"): they follow from the cores in use.
std::vector<Warning> core_warnings(const Topology& topology);

/// Governors that hold the clock down ("governor").
std::vector<Warning> clock_warnings(const Topology& topology, const SystemFiles& files);

}  // namespace millrace
