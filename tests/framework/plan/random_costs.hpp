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
/// `two_parts`: most layers have costs of the backward part in two, and some requests ask for the
/// schedule that runs them apart.
Instance random_instance(std::mt19937& random, bool two_parts = false);

/// The same for graphs: 3 to 12 layers, numbered in an order in which they can run, up to 3 kinds
/// and 4 devices, batch 3.
Instance random_graph_instance(std::mt19937& random, bool two_parts = false);

}  // namespace millrace::fixtures
