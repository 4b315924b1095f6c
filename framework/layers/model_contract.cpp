// check_model, named_parameters and named_buffers of millrace/model.hpp.

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "framework/layers/module_facts.hpp"
#include "millrace/errors.hpp"
#include "millrace/model.hpp"

namespace millrace {
namespace {

using Shape = std::vector<std::int64_t>;

std::string text(const Shape& shape) {
  std::string result;
  for (const auto extent : shape) {
    result += (result.empty() ? "" : " x ") + std::to_string(extent);
  }
  return result.empty() ? "(no dimensions)" : result;
}

[[noreturn]] void refuse(const Model& model, const std::string& message) {
  throw ConfigError("model", "'" + model.name + "': " + message);
}

std::string quoted(const Layer& layer) { return "layer '" + layer.name + "'"; }

/// Evaluation mode for the scope's life; every submodule gets its own mode back.
class EvaluationMode {
 public:
  explicit EvaluationMode(torch::nn::Module& module) : module_(module) {
    for (const auto& part : module.modules()) {
      if (part->is_training()) trained_.push_back(part);
    }
    module_.eval();
  }
  ~EvaluationMode() {
    // train(true) reaches the children, too: parents first, then what was off is switched off.
    std::set<torch::nn::Module*> trained;
    for (const auto& part : trained_) trained.insert(part.get());
    for (const auto& part : module_.modules()) part->train(trained.contains(part.get()));
  }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  torch::nn::Module& module_;
  std::vector<std::shared_ptr<torch::nn::Module>> trained_;
};

void check_sample_shape(const Model& model) {
  if (model.layers.empty()) refuse(model, "has no layers: add at least one");
  for (const auto extent : model.sample_shape) {
    if (extent >= 1) continue;
    refuse(model, "sample shape " + text(model.sample_shape) + ": every extent must be at least 1");
  }
}

void check_names(const Model& model) {
  std::set<std::string> names;
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    const Layer& layer = model.layers[i];
    if (layer.name.empty()) refuse(model, "layer " + std::to_string(i) + " has no name");
    if (layer.module.is_empty()) refuse(model, quoted(layer) + " has no module");
    if (!names.insert(layer.name).second) {
      refuse(model, "two layers are called '" + layer.name + "': names must differ");
    }
  }
}

/// Index of what layer `reader` reads under `name`.
int producer(const Model& model, std::size_t reader, const std::string& name) {
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    if (model.layers[i].name != name) continue;
    if (i < reader) return static_cast<int>(i);
    refuse(model, quoted(model.layers[reader]) + " reads '" + name +
                      "', which is not before it: add layers in the order in which they run");
  }
  refuse(model, quoted(model.layers[reader]) + " reads '" + name +
                    "', which is no layer: name one that was added before");
}

/// Facts with names, producers and readers.
std::vector<LayerFacts> link_layers(const Model& model) {
  std::vector<LayerFacts> layers(model.layers.size());
  for (std::size_t l = 0; l < layers.size(); ++l) {
    layers[l].name = model.layers[l].name;
    for (const std::string& name : model.layers[l].inputs)
      layers[l].producers.push_back(producer(model, l, name));
    if (layers[l].producers.empty()) layers[l].producers = {static_cast<int>(l) - 1};
    for (const int from : std::set<int>(layers[l].producers.begin(), layers[l].producers.end()))
      if (from != kSample) layers[static_cast<std::size_t>(from)].readers.push_back(int(l));
  }
  return layers;
}

/// The layer whose output is auxiliary.
LayerFacts& auxiliary_layer(const Model& model, const AuxiliaryOutput& output,
                            std::vector<LayerFacts>& layers) {
  const auto found = std::find_if(layers.begin(), layers.end(), [&](const LayerFacts& layer) {
    return layer.name == output.layer;
  });
  const std::string name = "auxiliary output '" + output.layer + "'";
  if (found == layers.end()) refuse(model, name + " is no layer: name one that was added");
  if (found == layers.end() - 1) {
    refuse(model, name + " is the last layer, whose output goes to the loss anyway: leave it out");
  }
  if (found->auxiliary_weight > 0) refuse(model, name + " is named twice: give it one weight");
  if (!std::isfinite(output.weight) || output.weight <= 0) {
    refuse(model, name + " has the weight " + std::to_string(output.weight) +
                      ": it must be a number above 0, such as 0.3 (the last layer's is 1)");
  }
  return *found;
}

/// Who goes to the loss beside the last layer, and who is there for those alone.
void add_auxiliary(const Model& model, std::vector<LayerFacts>& layers) {
  for (const AuxiliaryOutput& output : model.auxiliary)
    auxiliary_layer(model, output, layers).auxiliary_weight = output.weight;
  std::vector<bool> needed(layers.size(), false);
  needed.back() = true;
  for (std::size_t l = layers.size(); l-- > 0;) {
    layers[l].training_only = !needed[l];
    if (!needed[l]) continue;
    for (const int from : layers[l].producers)
      if (from != kSample) needed[static_cast<std::size_t>(from)] = true;
  }
}

void check_all_read(const Model& model, const std::vector<LayerFacts>& layers) {
  for (std::size_t l = 0; l + 1 < layers.size(); ++l) {
    if (!layers[l].readers.empty() || layers[l].auxiliary_weight > 0) continue;
    refuse(model, quoted(model.layers[l]) +
                      " is read by no layer, and only the last one's output goes to the loss: name "
                      "it among some layer's inputs or the model's auxiliary outputs, or leave it "
                      "out");
  }
}

/// All that the names say.
std::vector<LayerFacts> graph_of(const Model& model) {
  check_sample_shape(model);
  check_names(model);
  std::vector<LayerFacts> layers = link_layers(model);
  add_auxiliary(model, layers);
  check_all_read(model, layers);
  return layers;
}

/// Plain training and a plan would differ in what the other readers find.
void check_in_place(const Model& model, const std::vector<LayerFacts>& layers) {
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const int from = layers[l].producers.front();
    if (from == kSample || !works_in_place(*model.layers[l].module.ptr())) continue;
    const LayerFacts& written = layers[static_cast<std::size_t>(from)];
    if (written.uses() == 1) continue;
    const std::string others = written.readers.size() > 1 ? "other layers read" : "the loss reads";
    refuse(model, quoted(model.layers[l]) + " works in place on the output of '" + written.name +
                      "', which " + others + ", too: make it with inplace(false)");
  }
}

void check_parameter(const Model& model, const std::string& name, const at::Tensor& value) {
  if (value.scalar_type() != at::kFloat || !value.device().is_cpu()) {
    refuse(model, "parameter '" + name + "' is " + value.toString() +
                      ": weights must be float32 in CPU memory");
  }
  if (!value.requires_grad()) {
    refuse(model, "parameter '" + name +
                      "' does not require a gradient, every parameter is trained: call "
                      "set_requires_grad(true) on it, or keep fixed values in a buffer");
  }
}

/// Weights that two layers share would be updated by two stages at once.
void check_parameters(const Model& model) {
  std::set<std::string> names;
  std::set<const void*> storages;
  for (const auto& [name, value] : named_parameters(model)) {
    check_parameter(model, name, value);
    if (!names.insert(name).second) refuse(model, "two parameters are called '" + name + "'");
    if (value.numel() > 0 && !storages.insert(value.data_ptr()).second) {
      refuse(model, "parameter '" + name +
                        "' shares its memory with another one: give each layer "
                        "weights of its own");
    }
  }
}

/// Output of one layer for one sample; LibTorch's own complaint becomes ours.
at::Tensor run_layer(const Model& model, const Layer& layer,
                     const std::vector<at::Tensor>& inputs) {
  std::string shapes;
  for (const at::Tensor& input : inputs)
    shapes += (shapes.empty() ? "" : " and ") + text(input.sizes().slice(1).vec());
  const std::string unmet = unmet_input(*layer.module.ptr(), inputs.front().sizes().slice(1).vec());
  if (!unmet.empty()) {
    refuse(model, quoted(layer) + " takes " + unmet + ", it is given " + shapes +
                      ": make the layer before it or its own size fit");
  }
  const EvaluationMode evaluation(*layer.module.ptr());
  torch::nn::AnyModule module(layer.module);
  try {
    return inputs.size() == 1 && !is_join(*layer.module.ptr()) ? module.forward(inputs.front())
                                                               : module.forward(inputs);
  } catch (const c10::Error& error) {
    refuse(model, quoted(layer) + " cannot take an input of " + shapes + ": " +
                      error.what_without_backtrace());
  }
}

void check_output(const Model& model, const Layer& layer, const at::Tensor& output) {
  if (!output.defined() || output.dim() < 1 || output.size(0) != 1) {
    refuse(model, quoted(layer) + " turns 1 sample into an output of " +
                      (output.defined() ? text(output.sizes().vec()) : "nothing") +
                      ": the first dimension must stay the batch");
  }
}

void check_classes(const Model& model, const Shape& output) {
  if (model.loss) return;  // the user's own loss knows its shapes
  const bool rows = output.size() == 1 || output.size() == 2;
  if (rows && (model.classes == 0 || output.back() == model.classes)) return;
  const std::string wanted =
      model.classes == 0 ? "one number per class" : std::to_string(model.classes) + " classes";
  refuse(model, "the last layer's output is " + text(output) + ", softmax cross-entropy takes " +
                    wanted + ": fit the last layer, or give the model a loss");
}

/// Of one shape, so that the loss and the targets fit all of them.
void check_auxiliary_shapes(const Model& model, const std::vector<LayerFacts>& layers) {
  const Shape& wanted = layers.back().output_shape;
  for (const LayerFacts& layer : layers) {
    if (layer.auxiliary_weight == 0 || layer.output_shape == wanted) continue;
    refuse(model, "auxiliary output '" + layer.name + "' is " + text(layer.output_shape) +
                      ", the last layer's is " + text(wanted) +
                      ": both go to one loss with the same targets, make the shapes equal");
  }
}

void add_facts(LayerFacts& facts, const Layer& layer, const at::Tensor& input,
               const at::Tensor& output) {
  facts.type = module_type(*layer.module.ptr());
  facts.input_shape = input.sizes().slice(1).vec();
  facts.output_shape = output.sizes().slice(1).vec();
  for (const auto& value : layer.module.ptr()->parameters()) {
    facts.weights_bytes += static_cast<std::int64_t>(value.nbytes());
  }
  facts.forward_flops = forward_flops(*layer.module.ptr(), facts.output_shape);
  facts.inner_elements = inner_elements(*layer.module.ptr(), facts.output_shape);
}

/// The weight gradient costs what forward costs, and so does the input gradient, which is needed
/// only where a layer before has weights.
void add_backward_flops(std::vector<LayerFacts>& layers) {
  std::vector<bool> learns;  // by layer: it or one that its input comes from has weights
  for (LayerFacts& facts : layers) {
    const bool before = std::any_of(facts.producers.begin(), facts.producers.end(), [&](int from) {
      return from != kSample && learns[static_cast<std::size_t>(from)];
    });
    facts.backward_flops = facts.forward_flops * (before ? 2 : 1);
    learns.push_back(before || facts.weights_bytes > 0);
  }
}

Shape batch_of(std::int64_t samples, Shape shape) {
  shape.insert(shape.begin(), samples);
  return shape;
}

}  // namespace

std::vector<LayerFacts> check_model(const Model& model) {
  std::vector<LayerFacts> result = graph_of(model);
  check_in_place(model, result);
  for (const Layer& layer : model.layers) {
    const std::string reason = reason_to_refuse(*layer.module.ptr());
    if (!reason.empty()) refuse(model, quoted(layer) + ": " + reason);
  }
  check_parameters(model);

  const at::NoGradGuard no_gradients;
  // The largest id: that an embedding is too small shows here.
  const at::Tensor sample = model.vocabulary > 0 ? at::full(batch_of(1, model.sample_shape),
                                                            model.vocabulary - 1, at::kLong)
                                                 : at::zeros(batch_of(1, model.sample_shape));
  std::vector<at::Tensor> outputs;
  for (std::size_t l = 0; l < result.size(); ++l) {
    const Layer& layer = model.layers[l];
    std::vector<at::Tensor> inputs;
    for (const int from : result[l].producers)
      inputs.push_back(from == kSample ? sample : outputs[static_cast<std::size_t>(from)]);
    // In-place layers overwrite their input: its shape is what add_facts reads.
    outputs.push_back(run_layer(model, layer, inputs));
    check_output(model, layer, outputs.back());
    add_facts(result[l], layer, inputs.front(), outputs.back());
    for (const int from : result[l].producers)
      if (from != kSample && result[static_cast<std::size_t>(from)].readers.back() == int(l))
        outputs[static_cast<std::size_t>(from)].reset();
  }
  check_classes(model, result.back().output_shape);
  check_auxiliary_shapes(model, result);
  add_backward_flops(result);
  return result;
}

std::vector<bool> training_only(const Model& model) {
  std::vector<bool> result;
  for (const LayerFacts& layer : graph_of(model)) result.push_back(layer.training_only);
  return result;
}

torch::Tensor random_inputs(const Model& model, std::int64_t samples) {
  const Shape shape = batch_of(samples, model.sample_shape);
  return model.vocabulary > 0 ? at::randint(model.vocabulary, shape, at::kLong) : at::randn(shape);
}

torch::Tensor random_labels(const Model& model, const LayerFacts& last, std::int64_t samples) {
  MILLRACE_CHECK(model.classes > 0 && !last.output_shape.empty(), "model",
                 "labels are drawn for classes, the model has none");
  Shape positions = last.output_shape;
  positions.pop_back();
  return at::randint(model.classes, batch_of(samples, positions), at::kLong);
}

std::vector<std::pair<std::string, torch::Tensor>> named_parameters(const Model& model) {
  std::vector<std::pair<std::string, torch::Tensor>> result;
  for (const Layer& layer : model.layers) {
    for (const auto& item : layer.module.ptr()->named_parameters()) {
      result.emplace_back(layer.name + "." + item.key(), item.value());
    }
  }
  return result;
}

std::vector<std::pair<std::string, torch::Tensor>> named_buffers(const Model& model) {
  std::vector<std::pair<std::string, torch::Tensor>> result;
  for (const Layer& layer : model.layers) {
    for (const auto& item : layer.module.ptr()->named_buffers()) {
      if (item.value().scalar_type() == at::kFloat)
        result.emplace_back(layer.name + "." + item.key(), item.value());
    }
  }
  return result;
}

}  // namespace millrace
