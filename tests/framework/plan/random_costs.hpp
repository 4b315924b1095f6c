#pragma once
// Small random cost graphs and requests for the oracle.

#include <random>

#include "millrace/plan.hpp"
#include "millrace/profile.hpp"

namespace millrace::fixtures {

struct Instance {
  Profile profile;
  PlanRequest request;
};

/// A chain: at most 6 layers "l0", "l1", … (shuffled in the file), 2 kinds, 4 devices, batch 6;
/// every optional part of a cost graph and of a request appears in some. Costs do not fall with
/// more samples.
Instance random_instance(std::mt19937& random);

/// The same for graphs: 3 to 12 layers, numbered in an order in which they can run, up to 3 kinds
/// and 4 devices, batch 3.
Instance random_graph_instance(std::mt19937& random);

}  // namespace millrace::fixtures
