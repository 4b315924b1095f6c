#include "tests/transparency/plain_training.hpp"

#include <ATen/ATen.h>
#include <torch/nn/functional.h>
#include <torch/nn/modules.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <algorithm>

#include "framework/layers/layer_op.hpp"
#include "millrace/joins.hpp"
#include "millrace/sequence.hpp"
#include "tests/plain_graph.hpp"

namespace millrace::test {
namespace {

namespace nn = torch::nn;

/// A user's own layer with two inputs.
struct ProductImpl : nn::Cloneable<ProductImpl> {
  void reset() override {}
  at::Tensor forward(std::vector<at::Tensor> inputs) { return inputs[0] * inputs[1]; }
};
TORCH_MODULE(Product);

nn::Conv2d conv(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                std::int64_t padding) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel).stride(stride).padding(padding));
}

std::unique_ptr<torch::optim::Optimizer> make_optimizer(std::vector<at::Tensor> parameters,
                                                        const OptimizerSettings& o) {
  if (o.kind == OptimizerKind::adamw) {
    return std::make_unique<torch::optim::AdamW>(parameters,
                                                 torch::optim::AdamWOptions(o.learning_rate)
                                                     .betas({o.beta1, o.beta2})
                                                     .eps(o.epsilon)
                                                     .weight_decay(o.weight_decay));
  }
  return std::make_unique<torch::optim::SGD>(parameters, torch::optim::SGDOptions(o.learning_rate)
                                                             .momentum(o.momentum)
                                                             .nesterov(o.nesterov)
                                                             .weight_decay(o.weight_decay));
}

std::map<std::string, at::Tensor> forward(const Model& model, const at::Tensor& inputs,
                                          const DrawKey& key, bool training) {
  return graph_values(model, inputs, [&](std::size_t l, const std::vector<at::Tensor>& xs) {
    const nn::AnyModule& module = model.layers[l].module;
    module.ptr()->train(training);
    const auto* dropout = module.ptr()->as<nn::Dropout>();
    if (!dropout || !training) return call(module, xs);
    const at::Tensor mask = dropout_mask(key, static_cast<int>(l), xs[0].size(0), 0,
                                         xs[0][0].numel(), dropout->options.p());
    return xs[0] * mask.view(xs[0].sizes());
  });
}

/// Returns the mean loss of the batch.
at::Tensor add_gradients(const Model& model, const Batch& batch, DrawKey key, const Order& order) {
  at::Tensor mean = at::zeros({});
  const std::int64_t samples = batch.inputs.size(0);
  at::Generator generator = at::detail::createCPUGenerator(key.seed);
  const at::Tensor noisy =
      model.vocabulary > 0
          ? batch.inputs
          : batch.inputs * (1 + order.noise * at::randn(batch.inputs.sizes(), generator));
  for (std::int64_t first = 0; first < samples; first += order.piece) {
    const std::int64_t count = std::min(order.piece, samples - first);
    at::Tensor inputs = noisy.narrow(0, first, count);
    if (order.channels_last && inputs.dim() == 4)
      inputs = inputs.contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor targets = batch.targets.narrow(0, first, count);
    key.first_sample = first;
    const auto loss = [&](const at::Tensor& outputs) {
      return model.loss
                 ? model.loss(outputs, targets)
                 : nn::functional::cross_entropy(outputs.flatten(0, -2), targets.flatten()) * count;
    };
    const at::Tensor part = training_loss(model, forward(model, inputs, key, true), loss) / samples;
    part.backward();
    mean += part.detach();
  }
  return mean;
}

}  // namespace

Model small_lenet() {
  Model model;
  model.name = "small-lenet";
  model.sample_shape = {1, 12, 12};
  model.classes = 10;
  model.add("conv1", conv(1, 6, 5, 1, 2)).add("relu1", nn::ReLU()).add("pool1", nn::MaxPool2d(2));
  model.add("conv2", conv(6, 8, 3, 1, 0)).add("relu2", nn::ReLU()).add("pool2", nn::AvgPool2d(2));
  model.add("flatten", nn::Flatten()).add("fc1", nn::Linear(32, 24)).add("relu3", nn::ReLU());
  model.add("drop", nn::Dropout(0.3)).add("fc2", nn::Linear(24, 10));
  return model;
}

Model narrow_alexnet() {
  Model model;
  model.name = "narrow-alexnet";
  model.sample_shape = {3, 32, 32};
  model.classes = 10;
  const auto relu = [] { return nn::ReLU(nn::ReLUOptions(true)); };
  const auto pool = [] { return nn::MaxPool2d(nn::MaxPool2dOptions(3).stride(2)); };
  model.add("features.0", conv(3, 8, 5, 2, 2)).add("features.1", relu()).add("features.2", pool());
  model.add("features.3", conv(8, 12, 5, 1, 2)).add("features.4", relu()).add("features.5", pool());
  model.add("features.6", conv(12, 16, 3, 1, 1)).add("features.7", relu());
  model.add("features.8", conv(16, 12, 3, 1, 1)).add("features.9", relu());
  model.add("avgpool", nn::AdaptiveAvgPool2d(2)).add("flatten", nn::Flatten());
  model.add("classifier.0", nn::Dropout()).add("classifier.1", nn::Linear(48, 30));
  model.add("classifier.2", relu()).add("classifier.3", nn::Dropout());
  model.add("classifier.4", nn::Linear(30, 21)).add("classifier.5", relu());
  model.add("classifier.6", nn::Linear(21, 10));
  return model;
}

Model small_graph() {
  Model model;
  model.name = "small-graph";
  model.sample_shape = {3, 10, 10};
  model.classes = 10;
  model.add("stem", conv(3, 8, 3, 1, 1)).add("relu0", nn::ReLU());
  model.add("left1", conv(8, 6, 3, 1, 1), {"relu0"}).add("relu1", nn::ReLU());
  model.add("left2", conv(6, 8, 3, 1, 1)).add("right", conv(8, 8, 1, 1, 0), {"relu0"});
  model.add("sum", Add(), {"left2", "right", "relu0"}).add("relu2", nn::ReLU());
  model.add("both", Concat(), {"relu1", "relu2", "stem"}).add("pool", nn::MaxPool2d(2));
  model.add("flatten", nn::Flatten()).add("fc1", nn::Linear(22 * 25, 12)).add("relu3", nn::ReLU());
  model.add("drop", nn::Dropout(0.3)).add("fc2", nn::Linear(12, 12));
  model.add("product", Product(), {"fc2", "relu3"}).add("again", Add(), {"product", "product"});
  model.add("fc3", nn::Linear(12, 10)).add("last", Add(), {"fc3", "fc3"});
  return model;
}

Model small_residual() {
  Model model;
  model.name = "small-residual";
  model.sample_shape = {3, 9, 9};
  model.classes = 10;
  const auto plain = [](std::int64_t in, std::int64_t out, std::int64_t kernel,
                        std::int64_t stride) {
    return nn::Conv2d(
        nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
  };
  model.add("conv1", plain(3, 8, 3, 1)).add("bn1", nn::BatchNorm2d(8)).add("relu1", nn::ReLU6());
  model.add("a.conv1", plain(8, 12, 3, 2)).add("a.bn1", nn::BatchNorm2d(12));
  model.add("a.relu1", nn::ReLU()).add("a.conv2", plain(12, 12, 3, 1));
  model.add("a.bn2", nn::BatchNorm2d(12)).add("a.down", plain(8, 12, 1, 2), {"relu1"});
  model.add("a.down_bn", nn::BatchNorm2d(12)).add("a.sum", Add(), {"a.bn2", "a.down_bn"});
  model.add("a.relu", nn::ReLU()).add("b.conv", plain(12, 12, 3, 1));
  model.add("b.bn", nn::BatchNorm2d(12)).add("b.sum", Add(), {"b.bn", "a.relu"});
  model.add("b.relu", nn::ReLU()).add("pool", nn::AdaptiveAvgPool2d(1));
  model.add("flatten", nn::Flatten()).add("fc1", nn::Linear(nn::LinearOptions(12, 16).bias(false)));
  model.add("bn", nn::BatchNorm1d(nn::BatchNormOptions(16).eps(1e-3).momentum(0.3)));
  model.add("relu", nn::ReLU()).add("fc2", nn::Linear(16, 10));
  return model;
}

Model small_heads() {
  Model model;
  model.name = "small-heads";
  model.sample_shape = {3, 10, 10};
  model.classes = 10;
  model.add("stem", conv(3, 8, 3, 1, 1)).add("relu0", nn::ReLU());
  model.add("a.pool", nn::AvgPool2d(5)).add("a.flatten", nn::Flatten());
  model.add("a.fc1", nn::Linear(32, 12)).add("a.relu", nn::ReLU());
  model.add("a.drop", nn::Dropout(0.4)).add("a.fc2", nn::Linear(12, 10));
  model.add("body", conv(8, 8, 3, 2, 1), {"relu0"}).add("relu1", nn::ReLU());
  model.add("b.mean", nn::AdaptiveAvgPool2d(1)).add("b.flatten", nn::Flatten());
  model.add("b.fc", nn::Linear(8, 10)).add("gate", nn::ReLU());
  model.add("flatten", nn::Flatten(), {"relu1"}).add("fc1", nn::Linear(200, 14));
  model.add("relu2", nn::ReLU()).add("fc2", nn::Linear(14, 10));
  model.add("sum", Add(), {"fc2", "gate"});
  model.auxiliary = {{"b.fc", 0.5}, {"a.fc2", 0.3}};
  return model;
}

Model residual_with_head() {
  Model model = small_residual();
  const Layer last = model.layers.back();
  model.layers.pop_back();
  model.add("head.bn", nn::BatchNorm1d(12), {"flatten"});
  model.add("head.fc", nn::Linear(12, 10));
  model.layers.push_back({last.name, {"relu"}, last.module});
  model.auxiliary = {{"head.fc", 0.4}};
  return model;
}

Model small_gpt() {
  Model model;
  model.name = "small-gpt";
  model.sample_shape = {9};
  model.classes = model.vocabulary = 11;
  const auto norm = [] { return nn::LayerNorm(nn::LayerNormOptions({12})); };
  model.add("embedding", nn::Embedding(11, 12)).add("places", PlaceEmbedding(9, 12));
  model.add("drop", nn::Dropout(0.2));
  model.add("norm1", norm()).add("in", nn::Linear(12, 36)).add("attention", CausalAttention(3));
  model.add("out", nn::Linear(12, 12)).add("sum1", Add(), {"drop", "out"});
  model.add("norm2", norm()).add("fc1", nn::Linear(12, 20)).add("gelu", nn::GELU());
  model.add("fc2", nn::Linear(20, 12)).add("drop2", nn::Dropout(0.3));
  model.add("sum2", Add(), {"sum1", "drop2"}).add("norm3", norm()).add("head", nn::Linear(12, 11));
  return model;
}

Model small_lstm() {
  Model model;
  model.name = "small-lstm";
  model.sample_shape = {7};
  model.classes = model.vocabulary = 11;
  model.add("embedding", nn::Embedding(11, 8)).add("lstm1", SequenceLSTM(8, 10));
  model.add("drop", nn::Dropout(0.2)).add("lstm2", SequenceLSTM(10, 9));
  model.add("head", nn::Linear(9, 11));
  return model;
}

std::vector<Batch> random_batches(const Model& model, const std::vector<std::int64_t>& samples,
                                  std::uint64_t data_seed) {
  at::Generator generator = at::detail::createCPUGenerator(data_seed);
  std::vector<Batch> batches;
  for (std::int64_t n : samples) {
    std::vector<std::int64_t> shape = model.sample_shape;
    shape.insert(shape.begin(), n);
    const auto ids = [&](at::IntArrayRef sizes) {
      return at::randint(model.classes, sizes, generator, at::kLong);
    };
    batches.push_back(model.vocabulary > 0 ? Batch{ids(shape), ids(shape)}
                                           : Batch{at::randn(shape, generator), ids({n})});
  }
  return batches;
}

NamedTensors train_plainly(const Model& model, const std::vector<Batch>& batches,
                           const OptimizerSettings& settings, std::uint64_t seed,
                           const Order& order) {
  at::set_num_threads(1);
  std::vector<at::Tensor> parameters;
  for (const auto& [name, tensor] : named_parameters(model)) parameters.push_back(tensor);
  const auto optimizer = make_optimizer(parameters, settings);
  at::Tensor loss;
  for (std::size_t step = 0; step < batches.size(); ++step) {
    optimizer->zero_grad();
    loss = add_gradients(model, batches[step], {seed, static_cast<std::int64_t>(step), 0}, order);
    if (settings.clip_norm > 0) nn::utils::clip_grad_norm_(parameters, settings.clip_norm);
    optimizer->step();
  }
  NamedTensors result = weights_of(model);
  result["loss"] = loss;
  result["outputs"] =
      forward(model, batches.back().inputs, {}, false).at(model.layers.back().name).detach();
  return result;
}

NamedTensors weights_of(const Model& model) {
  NamedTensors result;
  for (const auto& tensors : {named_parameters(model), named_buffers(model)})
    for (const auto& [name, tensor] : tensors) result[name] = tensor.detach().clone();
  return result;
}

}  // namespace millrace::test
