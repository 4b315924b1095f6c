// draw_weights and zero_biases of parts.hpp, and how a weight is drawn.

#include <torch/nn/init.h>

#include <memory>

#include "models/zoo/parts.hpp"

namespace millrace::zoo_parts {
namespace {

/// Calls visit(weight, bias) for each convolution and linear layer in layer order.
template <typename Visit>
void visit_weights(const Model& model, const std::string& prefix, const Visit& visit) {
  for (const Layer& layer : model.layers) {
    if (!layer.name.starts_with(prefix)) continue;
    const std::shared_ptr<nn::Module> module = layer.module.ptr();
    if (const auto* conv = module->as<nn::Conv2dImpl>()) visit(conv->weight, conv->bias);
    if (const auto* linear = module->as<nn::LinearImpl>()) visit(linear->weight, linear->bias);
  }
}

}  // namespace

void draw_by_outputs(const torch::Tensor& weight) {
  nn::init::kaiming_normal_(weight, 0, torch::kFanOut, torch::kReLU);
}

void draw_by_inputs(const torch::Tensor& weight) {
  nn::init::kaiming_normal_(weight, 0, torch::kFanIn, torch::kReLU);
}

void draw_evenly_by_inputs(const torch::Tensor& weight) {
  nn::init::kaiming_uniform_(weight, 0, torch::kFanIn, torch::kReLU);
}

Draw normal(double deviation) {
  return [deviation](const torch::Tensor& weight) {
    nn::init::normal_(weight, /*mean=*/0, deviation);
  };
}

void draw_weights(const Model& model, const std::string& prefix, const Draw& draw) {
  visit_weights(model, prefix,
                [&](const torch::Tensor& weight, const torch::Tensor&) { draw(weight); });
}

void zero_biases(const Model& model) {
  visit_weights(model, "", [](const torch::Tensor&, const torch::Tensor& bias) {
    if (bias.defined()) nn::init::zeros_(bias);
  });
}

}  // namespace millrace::zoo_parts
