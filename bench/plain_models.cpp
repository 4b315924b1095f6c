#include "bench/plain_models.hpp"

#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/activation.h>

#include "millrace/plain_forward.hpp"
#include "models/zoo/zoo.hpp"

namespace millrace::bench {
namespace {

void work_in_place(torch::nn::Module& module) {
  if (auto* relu = module.as<torch::nn::ReLU>()) relu->options.inplace(true);
  if (auto* relu6 = module.as<torch::nn::ReLU6>()) relu6->options.inplace(true);
}

}  // namespace

PlainModel::PlainModel(const std::string& name, std::int64_t classes)
    : model_(make_model(name, classes)) {
  const std::vector<LayerFacts> facts = check_model(model_);
  for (std::size_t l = 0; l < facts.size(); ++l) {
    const int producer = facts[l].producers.front();
    if (producer != kSample && facts[static_cast<std::size_t>(producer)].uses() == 1)
      work_in_place(*model_.layers[l].module.ptr());  // nobody else reads what it writes over
  }
}

at::Tensor PlainModel::forward(const at::Tensor& inputs) const {
  return plain_forward(model_, inputs);
}

at::Tensor PlainModel::loss(const at::Tensor& inputs, const at::Tensor& labels) const {
  const auto entropy = [&](const at::Tensor& outputs) {  // [samples (x positions), classes]
    return torch::nn::functional::cross_entropy(outputs.flatten(0, -2), labels.flatten());
  };
  const std::vector<at::Tensor> outputs = plain_outputs(model_, inputs);
  at::Tensor sum = entropy(outputs.front());
  for (std::size_t i = 0; i < model_.auxiliary.size(); ++i)
    sum = sum + model_.auxiliary[i].weight * entropy(outputs[i + 1]);
  return sum;
}

std::vector<at::Tensor> PlainModel::parameters() const {
  std::vector<at::Tensor> result;
  for (const auto& [name, value] : named_parameters(model_)) result.push_back(value);
  return result;
}

void PlainModel::train(bool on) {
  for (const Layer& layer : model_.layers) layer.module.ptr()->train(on);
}

}  // namespace millrace::bench
