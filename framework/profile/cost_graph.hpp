#pragma once
// From measured passes to the cost graph that the planner reads.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "framework/profile/measure_model.hpp"
#include "millrace/model.hpp"
#include "millrace/profile.hpp"
#include "millrace/topology.hpp"

namespace millrace {

/// `times` has an entry for every kind of `topology`.
Profile make_cost_graph(const Model& model, const std::vector<LayerFacts>& facts,
                        const Topology& topology, std::int64_t batch,
                        const std::map<std::string, KindTimes>& times);

/// Bytes that training may take: 9/10 of what is free now; 0: unknown.
double memory_budget_bytes(const Topology& topology);

/// All times divided by `speed` (2: the machine is twice as fast as when they were measured).
Profile at_speed(Profile profile, double speed);

}  // namespace millrace
