#pragma once
// Layers that read several outputs, for Model::add.

#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <vector>

namespace millrace {

/// y = x0 + x1 + … of equal shapes: a residual connection.
class AddImpl final : public torch::nn::Cloneable<AddImpl> {
 public:
  void reset() override {}
  torch::Tensor forward(std::vector<torch::Tensor> inputs);
};
TORCH_MODULE(Add);

/// The inputs' channels (dimension 1) behind one another; the other extents are equal.
class ConcatImpl final : public torch::nn::Cloneable<ConcatImpl> {
 public:
  void reset() override {}
  torch::Tensor forward(std::vector<torch::Tensor> inputs);
};
TORCH_MODULE(Concat);

}  // namespace millrace
