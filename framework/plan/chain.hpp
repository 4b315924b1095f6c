#pragma once
// The layers of a profile in execution order, and what flows from one part of them to the next.

#include <vector>

#include "millrace/profile.hpp"

namespace millrace {

/// What crosses a border between two neighbours of the order, per sample: what was made before it
/// and is read behind it, each tensor once.
struct Border {
  double forward_bytes = 0;
  int forward_tensors = 0;
  double backward_bytes = 0;  ///< gradients; 0 where the profile is for inference
  int backward_tensors = 0;
  bool operator==(const Border&) const = default;
};

/// Positions are those of the execution order: every layer stands behind those that it reads.
struct Chain {
  std::vector<int> layers;      ///< position -> index into Profile::layers
  std::vector<Border> borders;  ///< [p]: between p - 1 and p; empty ones at 0 and size()

  int size() const { return static_cast<int>(layers.size()); }
};

/// Of the orders that the tensors allow the one that keeps most to that of the file: always the
/// first layer of the file whose inputs are there. Throws ConfigError (tag "plan") for a gradient
/// between layers that no forward tensor joins.
Chain make_chain(const Profile& profile);

}  // namespace millrace
