#pragma once
// Training as anybody would write it on LibTorch: one autograd graph, torch::optim, no Millrace but
// for the masks of dropout.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "millrace/model.hpp"
#include "millrace/optimizer.hpp"

namespace millrace::test {

struct Batch {
  at::Tensor inputs, targets;
};

using NamedTensors = std::map<std::string, at::Tensor>;

/// Layers of LeNet-5's kind: two convolutions with ReLU and pooling, three linear layers, with
/// dropout before the last ones. `width` scales them; 12 x 12 px, 10 classes.
Model small_lenet();
/// Layers of AlexNet's kind, in its order, narrow; 32 x 32 px.
Model narrow_alexnet();
/// Branches, sums, a concatenation, values that are read twice and far behind, a join of the user's
/// own; 10 x 10 px.
Model small_graph();
/// Two residual blocks with batch normalisation, and one of rows before the last layer; 9 x 9 px.
Model small_residual();
/// Two auxiliary outputs: one that nobody reads behind layers of its own with dropout, one that a
/// relu and by it the last layer reads; 10 x 10 px.
Model small_heads();
/// small_residual() and an auxiliary head with batch normalisation.
Model residual_with_head();
/// Token ids through attention with two residual connections: loss and dropout by position.
Model small_gpt();
Model small_lstm();

std::vector<Batch> random_batches(const Model& model, const std::vector<std::int64_t>& samples,
                                  std::uint64_t data_seed);

/// In what order the arithmetic of a batch is done; the mathematics is the same but for the noise.
struct Order {
  std::int64_t piece = 1 << 30;  ///< samples whose gradients are made at once
  bool channels_last = false;
  double noise = 0;  ///< relative, in the inputs
};

/// Weights and running statistics after training on `batches`, step 0, 1, …; the last loss as
/// "loss", and as "outputs" those of the trained model for the last batch.
NamedTensors train_plainly(const Model& model, const std::vector<Batch>& batches,
                           const OptimizerSettings& optimizer, std::uint64_t seed,
                           const Order& order = {});

/// Copies of the model's parameters and buffers.
NamedTensors weights_of(const Model& model);

}  // namespace millrace::test
