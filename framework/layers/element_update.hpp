#pragma once
// The optimizer's step on some elements: what profile measures and stages run.

#include <cstdint>
#include <functional>

#include "millrace/optimizer.hpp"

namespace millrace {

/// Updates n elements on the calling thread. state1: momentum (SGD; null: none), exp_avg (AdamW);
/// state2: exp_avg_sq (AdamW).
using ElementUpdate = std::function<void(float* value, float* state1, float* state2,
                                         const float* gradient, std::int64_t n)>;

/// torch::optim's formulas with the learning rate and the number of the step (0-based; AdamW's bias
/// correction), gradients multiplied by `scale` first.
ElementUpdate element_update(const OptimizerSettings& settings, double learning_rate,
                             std::int64_t step, float scale);

}  // namespace millrace
