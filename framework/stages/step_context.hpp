#pragma once
// The step that runs, as all stages see it. Written between steps (and clip_scale between the last
// reduce and the first update), read by the workers.

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace millrace {

enum class Pass { training, evaluation, prediction };

struct StepContext {
  std::uint64_t seed = 0;
  std::int64_t micro_batch = 1;  ///< b of the plan

  Pass pass = Pass::training;
  at::Tensor inputs;         ///< [n, sample shape]
  at::Tensor targets;        ///< undefined for a prediction
  at::Tensor outputs;        ///< [n, output shape], written by the last stage of a prediction
  std::int64_t samples = 0;  ///< n
  std::int64_t step = 0;
  double learning_rate = 0;
  float clip_scale = 1;  ///< what gradients are multiplied by before the update
};

}  // namespace millrace
