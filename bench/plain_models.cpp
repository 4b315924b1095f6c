#include "bench/plain_models.hpp"

#include <torch/nn/modules/activation.h>

#include "models/zoo/zoo.hpp"

namespace millrace::bench {
namespace {

std::size_t slot(int producer) { return static_cast<std::size_t>(producer - kSample); }

/// Where nobody else reads what it writes over.
void work_in_place(torch::nn::Module& module) {
  if (auto* relu = module.as<torch::nn::ReLU>()) relu->options.inplace(true);
  if (auto* relu6 = module.as<torch::nn::ReLU6>()) relu6->options.inplace(true);
}

}  // namespace

PlainModel::PlainModel(const std::string& name, std::int64_t classes)
    : model_(make_model(name, classes)), facts_(check_model(model_)) {
  for (std::size_t l = 0; l < facts_.size(); ++l) {
    const int producer = facts_[l].producers.front();
    if (producer != kSample && facts_[static_cast<std::size_t>(producer)].readers.size() == 1)
      work_in_place(*model_.layers[l].module.ptr());
  }
}

at::Tensor PlainModel::forward(const at::Tensor& inputs) {
  std::vector<at::Tensor> values(facts_.size() + 1);
  values.front() = inputs;
  for (std::size_t l = 0; l < facts_.size(); ++l) {
    std::vector<at::Tensor> xs;
    for (const int producer : facts_[l].producers) xs.push_back(values[slot(producer)]);
    torch::nn::AnyModule& module = model_.layers[l].module;
    values[l + 1] = xs.size() == 1 ? module.forward(xs.front()) : module.forward(xs);
    for (const int producer : facts_[l].producers)
      if (producer != kSample &&
          facts_[static_cast<std::size_t>(producer)].readers.back() == static_cast<int>(l))
        values[slot(producer)].reset();
  }
  return values.back();
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
