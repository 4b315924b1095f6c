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

std::map<std::string, std::size_t> last_readers(const std::vector<Names>& inputs) {
  std::map<std::string, std::size_t> last;
  for (std::size_t l = 0; l < inputs.size(); ++l)
    for (const std::string& name : inputs[l]) last[name] = l;
  return last;
}

}  // namespace

torch::Tensor plain_forward(const Model& model, const torch::Tensor& inputs) {
  const std::vector<Names> names = inputs_by_layer(model);
  const std::map<std::string, std::size_t> last = last_readers(names);
  std::map<std::string, torch::Tensor> values = {{"", inputs}};
  for (std::size_t l = 0; l < model.layers.size(); ++l) {
    std::vector<torch::Tensor> xs;
    for (const std::string& name : names[l]) xs.push_back(values.at(name));
    torch::nn::AnyModule module = model.layers[l].module;
    torch::Tensor y =
        xs.size() == 1 && !is_join(*module.ptr()) ? module.forward(xs.front()) : module.forward(xs);
    for (const std::string& name : names[l])
      if (last.at(name) == l) values.erase(name);
    values[model.layers[l].name] = std::move(y);
  }
  return values.at(model.layers.back().name);
}

}  // namespace millrace
