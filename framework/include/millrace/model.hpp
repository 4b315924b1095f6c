#pragma once
// The model contract: named layers (LibTorch modules) and who reads whom, the shape of a sample,
// the loss.

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
  /// Names of the layers whose outputs it reads, all of them added before it; empty: the layer
  /// before it (the first layer: the sample).
  std::vector<std::string> inputs;
  /// Batch first. Tensor forward(Tensor); with several inputs Tensor forward(std::vector<Tensor>),
  /// in the order of `inputs` (joins.hpp has the usual ones). A module of your own draws nothing at
  /// random, treats each sample alone, and its forward pass writes neither to parameters nor to
  /// buffers: each worker runs a copy over the model's own.
  torch::nn::AnyModule module;
};

/// As a producer: the sample, not a layer.
inline constexpr int kSample = -1;

/// What is known of a layer without running it on a device under measurement.
struct LayerFacts {
  std::string name;
  std::string type;  ///< "conv2d", "linear", "relu", "max_pool2d", "attention", …, "module"
  /// Of one sample, without the batch dimension; where there are several inputs, of the first.
  std::vector<std::int64_t> input_shape;
  std::vector<std::int64_t> output_shape;
  std::int64_t weights_bytes = 0;
  /// Per sample, multiply and add counted apart; 0: not a matrix product.
  double forward_flops = 0;
  /// Input and weight gradients; no input gradient where no layer before it has weights.
  double backward_flops = 0;
  /// Numbers per sample that forward keeps for backward beside input and output: attention's
  /// weights, an LSTM's gates.
  double inner_elements = 0;
  std::vector<int> producers;  ///< by input: index of the layer that makes it, or kSample
  std::vector<int> readers;    ///< layers that read the output, ascending, each once
  /// Of the loss of the layer's output in training, where that is an auxiliary one; else 0.
  double auxiliary_weight = 0;
  /// Auxiliary outputs alone need the layer: evaluation and prediction leave it out.
  bool training_only = false;

  /// How many read the output: layers, and the loss where it is auxiliary or the last layer's.
  int uses() const {
    const int count = static_cast<int>(readers.size()) + (auxiliary_weight > 0 ? 1 : 0);
    return count == 0 ? 1 : count;
  }
};

/// An output beside the last layer's that is trained against the same targets by the same loss:
/// GoogLeNet's heads, deep supervision.
struct AuxiliaryOutput {
  std::string layer;  ///< whose output it is, of the last layer's shape; others may read it, too
  double weight = 1;  ///< of its loss in the training loss, above 0; the last layer's is 1
};

/// Sum over the samples of the loss (Millrace divides by the batch), differentiable by autograd.
using LossFunction =
    std::function<torch::Tensor(const torch::Tensor& output, const torch::Tensor& target)>;

/// A network to train: a graph without cycles, since a layer reads what stands before it; the last
/// layer's output goes to the loss, in training the auxiliary ones, too. Values share the modules
/// (a copy is cheap and refers to the same weights).
struct Model {
  std::string name;
  std::vector<std::int64_t> sample_shape;  ///< C x H x W, or any shape without the batch dimension
  std::int64_t classes = 0;
  std::vector<Layer> layers;
  /// Empty: softmax cross-entropy against int64 labels, of outputs [classes] or of each of outputs
  /// [positions, classes]; a sample's loss is then the mean over its positions.
  LossFunction loss;
  /// The training loss is the last layer's plus weight times each of theirs; empty: none.
  std::vector<AuxiliaryOutput> auxiliary;
  /// Above 0: a sample is made of token ids, int64 numbers below this; 0: of float32 numbers.
  std::int64_t vocabulary = 0;

  /// Appends a layer: model.add("fc1", torch::nn::Linear(784, 100)), or with a skip connection
  /// model.add("sum", Add(), {"fc3", "fc1"}). Of a torch::nn::Sequential the parts are added one by
  /// one (AnyModule takes no module whose forward is a template).
  template <typename Module>
  Model& add(std::string layer_name, Module module, std::vector<std::string> inputs = {}) {
    layers.push_back(
        {std::move(layer_name), std::move(inputs), torch::nn::AnyModule(std::move(module))});
    return *this;
  }
};

/// Checks the contract (names unique, inputs known, outputs read or auxiliary, shapes fit, modules
/// that a plan cannot keep exact, such as random ones inside others, are refused) by running one
/// zero sample, and returns what is known of each layer. Throws ConfigError (tag "model") naming
/// the layer, both shapes and the remedy.
std::vector<LayerFacts> check_model(const Model& model);

/// By layer, LayerFacts::training_only, from the names alone. Throws as check_model() where the
/// graph is none.
std::vector<bool> training_only(const Model& model);

/// `samples` samples as the model reads them, drawn from LibTorch's default generator: normal
/// numbers, or token ids. [samples, sample_shape…].
torch::Tensor random_inputs(const Model& model, std::int64_t samples);

/// Labels below model.classes for a model whose last layer is `last`: [samples], or [samples,
/// positions]. REQUIRES model.classes > 0.
torch::Tensor random_labels(const Model& model, const LayerFacts& last, std::int64_t samples);

/// Named parameters in layer order, sharing storage with the modules.
std::vector<std::pair<std::string, torch::Tensor>> named_parameters(const Model& model);

/// Named buffers in layer order (running statistics), float32 ones only, sharing storage with the
/// modules: what a state dict holds beside the parameters. A counter of batches is left out, which
/// batch normalisation with a fixed momentum does not read.
std::vector<std::pair<std::string, torch::Tensor>> named_buffers(const Model& model);

/// Fresh weights from `seed`: LibTorch's reset_parameters() of each module and submodule, in layer
/// order, in place. LibTorch's default generator is used and gets its state back. Parameters that a
/// module of the user's own registers itself keep their values, with a warning that names them.
void initialise(const Model& model, std::uint64_t seed);

/// What `build` returns, which it makes while LibTorch's default generator is seeded (and gets its
/// state back): where it makes the modules in layer order, their constructors draw the weights that
/// initialise(model, seed) would draw once more.
Model make_seeded(std::uint64_t seed, const std::function<Model()>& build);

}  // namespace millrace
