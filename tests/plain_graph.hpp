#pragma once
// A model's graph, run as anybody would who knows LibTorch alone.

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "millrace/model.hpp"

namespace millrace::test {

inline at::Tensor call(torch::nn::AnyModule module, const std::vector<at::Tensor>& inputs) {
  return inputs.size() == 1 ? module.forward(inputs.front()) : module.forward(inputs);
}

/// Outputs by layer; `run(l, inputs)` gives that of layer l.
template <typename Run>
std::map<std::string, at::Tensor> graph_values(const Model& model, const at::Tensor& sample,
                                               const Run& run) {
  std::map<std::string, at::Tensor> values;
  at::Tensor before = sample;
  for (std::size_t l = 0; l < model.layers.size(); ++l) {
    std::vector<at::Tensor> inputs;
    for (const std::string& name : model.layers[l].inputs) inputs.push_back(values.at(name));
    if (inputs.empty()) inputs.push_back(before);
    before = values[model.layers[l].name] = run(l, inputs);
  }
  return values;
}

/// The modules in their own modes.
inline std::map<std::string, at::Tensor> graph_values(const Model& model,
                                                      const at::Tensor& sample) {
  return graph_values(model, sample, [&](std::size_t l, const std::vector<at::Tensor>& inputs) {
    return call(model.layers[l].module, inputs);
  });
}

/// Output of the last layer.
inline at::Tensor run_graph(const Model& model, const at::Tensor& sample) {
  return graph_values(model, sample).at(model.layers.back().name);
}

/// What training minimises: `loss(outputs)` of the last layer's, and of the auxiliary ones by their
/// weights.
template <typename Loss>
at::Tensor training_loss(const Model& model, const std::map<std::string, at::Tensor>& values,
                         const Loss& loss) {
  at::Tensor sum = loss(values.at(model.layers.back().name));
  for (const AuxiliaryOutput& output : model.auxiliary)
    sum = sum + output.weight * loss(values.at(output.layer));
  return sum;
}

}  // namespace millrace::test
