#pragma once
// The training's state, tensor by tensor, for checkpoints.

#include <cstdint>
#include <string>
#include <vector>

namespace millrace {

/// A float32 tensor: a view, valid while what gave it (the stages, the TrainStep) lives. Read or
/// write it only while no step runs.
struct StateTensor {
  std::string name;  ///< "features.0.weight", "optimizer.momentum.features.0.weight", …
  std::vector<std::int64_t> shape;
  float* data = nullptr;
  std::int64_t elements = 0;
};

}  // namespace millrace
