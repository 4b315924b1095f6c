#include "tests/transparency/plain_training.hpp"

#include <ATen/ATen.h>
#include <torch/nn/functional.h>
#include <torch/nn/modules.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <algorithm>

#include "framework/layers/layer_op.hpp"

namespace millrace::test {
namespace {

namespace nn = torch::nn;

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

at::Tensor forward(const Model& model, const at::Tensor& inputs, const DrawKey& key) {
  at::Tensor x = inputs;
  for (std::size_t l = 0; l < model.layers.size(); ++l) {
    nn::AnyModule module = model.layers[l].module;
    if (const auto* dropout = module.ptr()->as<nn::Dropout>()) {
      const at::Tensor mask =
          dropout_mask(key, static_cast<int>(l), x.size(0), 0, x[0].numel(), dropout->options.p());
      x = x * mask.view(x.sizes());
    } else {
      x = module.forward(x);
    }
  }
  return x;
}

/// Returns the mean loss of the batch.
at::Tensor add_gradients(const Model& model, const Batch& batch, DrawKey key, const Order& order) {
  at::Tensor mean = at::zeros({});
  const std::int64_t samples = batch.inputs.size(0);
  at::Generator generator = at::detail::createCPUGenerator(key.seed);
  const at::Tensor noisy =
      batch.inputs * (1 + order.noise * at::randn(batch.inputs.sizes(), generator));
  for (std::int64_t first = 0; first < samples; first += order.piece) {
    const std::int64_t count = std::min(order.piece, samples - first);
    at::Tensor inputs = noisy.narrow(0, first, count);
    if (order.channels_last) inputs = inputs.contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor targets = batch.targets.narrow(0, first, count);
    key.first_sample = first;
    const at::Tensor outputs = forward(model, inputs, key);
    const at::Tensor sum = model.loss ? model.loss(outputs, targets)
                                      : nn::functional::cross_entropy(outputs, targets) * count;
    const at::Tensor part = sum / samples;
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

std::vector<Batch> random_batches(const Model& model, const std::vector<std::int64_t>& samples,
                                  std::uint64_t data_seed) {
  at::Generator generator = at::detail::createCPUGenerator(data_seed);
  std::vector<Batch> batches;
  for (std::int64_t n : samples) {
    std::vector<std::int64_t> shape = model.sample_shape;
    shape.insert(shape.begin(), n);
    batches.push_back(
        {at::randn(shape, generator), at::randint(model.classes, {n}, generator, at::kLong)});
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
  return result;
}

NamedTensors weights_of(const Model& model) {
  NamedTensors result;
  for (const auto& [name, tensor] : named_parameters(model)) result[name] = tensor.detach().clone();
  return result;
}

}  // namespace millrace::test
