#pragma once
// What crosses the borders between a plan's stages.

#include <vector>

#include "millrace/plan.hpp"
#include "millrace/profile.hpp"

namespace millrace {

/// Tensors that cross in one direction, each counted once.
struct Crossing {
  double bytes_per_sample = 0;
  int tensors = 0;
};

/// Border i lies before stage i: 0 before the first stage, P behind the last; both are empty.
struct Border {
  Crossing activations;  ///< to the later stages
  Crossing gradients;    ///< back; of the activation's size where the profile names none
};

/// P + 1 borders of a plan of P stages.
std::vector<Border> borders_of(const Profile& profile, const Plan& plan);

}  // namespace millrace
