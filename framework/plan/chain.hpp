#pragma once
// The layers of a profile in execution order, and what flows between neighbours.

#include <vector>

#include "millrace/profile.hpp"

namespace millrace {

/// What crosses the border between two neighbouring layers, per sample.
struct Border {
  double forward_bytes = 0;
  int forward_tensors = 0;
  double backward_bytes = 0;  ///< gradients; 0 where the profile is for inference
  int backward_tensors = 0;
  bool operator==(const Border&) const = default;
};

/// Positions are those of the execution order: 0 reads the sample, size() - 1 makes the output.
struct Chain {
  std::vector<int> layers;      ///< position -> index into Profile::layers
  std::vector<Border> borders;  ///< [p]: between p - 1 and p; empty ones at 0 and size()

  int size() const { return static_cast<int>(layers.size()); }
};

/// The order that the tensors say, whatever the order of the file. Throws ConfigError (tag "plan")
/// where they form no chain: a layer with two readers, two inputs, or none.
Chain make_chain(const Profile& profile);

}  // namespace millrace
