#pragma once
// The model contract: named layers (LibTorch modules) in order, the shape of a sample, the loss.

#include <torch/nn/modules/container/any.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace millrace {

/// One layer. Its parameters are called `name.` + their name in the module ("features.0.weight"),
/// so that state dicts of LibTorch and torchvision correspond one to one.
struct Layer {
  std::string name;
  /// Names of the layers whose outputs it reads; empty: the layer before it (the first layer: the
  /// sample). In this version each layer reads exactly the one before it (a chain).
  std::vector<std::string> inputs;
  torch::nn::AnyModule module;  ///< Tensor forward(Tensor), batch first
};

/// What is known of a layer without running it on a device under measurement.
struct LayerFacts {
  std::string name;
  std::string type;  ///< "conv2d", "linear", "relu", "max_pool2d", "dropout", "flatten", …, "module"
  std::vector<std::int64_t> input_shape;   ///< of one sample, without the batch dimension
  std::vector<std::int64_t> output_shape;
  std::int64_t weights_bytes = 0;
  double forward_flops = 0;   ///< per sample, multiply and add counted apart; 0: not a matrix product
  /// Input and weight gradients; no input gradient where no layer before it has weights.
  double backward_flops = 0;
};

/// Sum over the samples of the loss (Millrace divides by the batch), differentiable by autograd.
using LossFunction =
    std::function<torch::Tensor(const torch::Tensor& output, const torch::Tensor& target)>;

/// A network to train. Values share the modules (a copy is cheap and refers to the same weights).
struct Model {
  std::string name;
  std::vector<std::int64_t> sample_shape;  ///< C x H x W, or any shape without the batch dimension
  std::int64_t classes = 0;
  std::vector<Layer> layers;
  LossFunction loss;  ///< empty: softmax cross-entropy against int64 labels

  /// Appends a layer: model.add("fc1", torch::nn::Linear(784, 100)). Of a torch::nn::Sequential the
  /// parts are added one by one (AnyModule takes no module whose forward is a template).
  template <typename Module>
  Model& add(std::string layer_name, Module module) {
    layers.push_back({std::move(layer_name), {}, torch::nn::AnyModule(std::move(module))});
    return *this;
  }
};

/// Checks the contract (names unique, shapes fit, modules that a plan cannot keep exact, such as
/// batch normalisation, are refused) by running one zero sample, and returns what is known of each
/// layer. Throws ConfigError (tag "model") naming the layer, both shapes and the remedy.
std::vector<LayerFacts> check_model(const Model& model);

/// Named parameters in layer order, sharing storage with the modules.
std::vector<std::pair<std::string, torch::Tensor>> named_parameters(const Model& model);

/// Fresh weights from `seed`: LibTorch's reset_parameters() of each module and submodule, in layer
/// order, in place. LibTorch's default generator is used and gets its state back. Parameters that a
/// module of the user's own registers itself keep their values, with a warning that names them.
void initialise(const Model& model, std::uint64_t seed);

/// What `build` returns, which it makes while LibTorch's default generator is seeded (and gets its
/// state back): where it makes the modules in layer order, their constructors draw the weights that
/// initialise(model, seed) would draw once more.
Model make_seeded(std::uint64_t seed, const std::function<Model()>& build);

}  // namespace millrace
