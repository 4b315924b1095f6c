#include "millrace/plain_forward.hpp"

#include <map>
#include <string>
#include <vector>

#include "framework/layers/module_facts.hpp"

namespace millrace {
namespace {

using Names = std::vector<std::string>;

/// By layer, what it reads; "" is the sample.
std::vector<Names> inputs_by_layer(const Model& model) {
  std::vector<Names> inputs;
  std::string before;
  for (const Layer& layer : model.layers) {
    inputs.push_back(layer.inputs.empty() ? Names{before} : layer.inputs);
    before = layer.name;
  }
  return inputs;
}

/// Of layers that are not left out.
std::map<std::string, std::size_t> last_readers(const std::vector<Names>& inputs,
                                                const std::vector<bool>& left_out) {
  std::map<std::string, std::size_t> last;
  for (std::size_t l = 0; l < inputs.size(); ++l)
    if (!left_out[l])
      for (const std::string& name : inputs[l]) last[name] = l;
  return last;
}

std::vector<torch::Tensor> run(const Model& model, const torch::Tensor& sample,
                               const Names& outputs, const std::vector<bool>& left_out) {
  const std::vector<Names> inputs = inputs_by_layer(model);
  std::map<std::string, std::size_t> last = last_readers(inputs, left_out);
  for (const std::string& output : outputs) last[output] = model.layers.size();  // the caller
  std::map<std::string, torch::Tensor> values = {{"", sample}};
  for (std::size_t l = 0; l < model.layers.size(); ++l) {
    if (left_out[l]) continue;
    std::vector<torch::Tensor> xs;
    for (const std::string& name : inputs[l]) xs.push_back(values.at(name));
    torch::nn::AnyModule module = model.layers[l].module;
    torch::Tensor y =
        xs.size() == 1 && !is_join(*module.ptr()) ? module.forward(xs.front()) : module.forward(xs);
    for (const std::string& name : inputs[l])
      if (last.at(name) == l) values.erase(name);
    values[model.layers[l].name] = std::move(y);
  }
  std::vector<torch::Tensor> result;
  for (const std::string& output : outputs) result.push_back(values.at(output));
  return result;
}

}  // namespace

torch::Tensor plain_forward(const Model& model, const torch::Tensor& inputs) {
  return run(model, inputs, {model.layers.back().name}, training_only(model)).front();
}

std::vector<torch::Tensor> plain_outputs(const Model& model, const torch::Tensor& inputs) {
  Names outputs = {model.layers.back().name};
  for (const AuxiliaryOutput& output : model.auxiliary) outputs.push_back(output.layer);
  return run(model, inputs, outputs, std::vector<bool>(model.layers.size(), false));
}

}  // namespace millrace
