#pragma once
// A model without plan and cores, as LibTorch runs its modules.

#include <ATen/core/Tensor.h>

#include <vector>

#include "millrace/model.hpp"

namespace millrace {

/// Outputs [n, …] of the model for `inputs` [n, sample shape]: its modules one after another, each
/// in its own mode, under autograd where that is on. Values that nobody reads any more are let go.
/// What auxiliary outputs alone need does not run.
torch::Tensor plain_forward(const Model& model, const torch::Tensor& inputs);

/// The same and the auxiliary outputs, for training: the model's output, then those in the order of
/// model.auxiliary.
std::vector<torch::Tensor> plain_outputs(const Model& model, const torch::Tensor& inputs);

}  // namespace millrace
