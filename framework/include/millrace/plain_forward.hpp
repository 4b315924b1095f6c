#pragma once
// A model without plan and cores, as LibTorch runs its modules.

#include <ATen/core/Tensor.h>

#include "millrace/model.hpp"

namespace millrace {

/// Outputs [n, …] of the model for `inputs` [n, sample shape]: its modules one after another, each
/// in its own mode, under autograd where that is on. Values that nobody reads any more are let go.
torch::Tensor plain_forward(const Model& model, const torch::Tensor& inputs);

}  // namespace millrace
