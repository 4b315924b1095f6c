#include "models/onnx/recognition.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/normalization.h>

#include <algorithm>
#include <array>

#include "millrace/sequence.hpp"
#include "models/onnx/recurrence.hpp"

namespace millrace::onnx_import {
namespace {

namespace nn = torch::nn;
using torch::Tensor;

// Layer normalisation's epsilon shows in small inputs, what is masked in large ones.
constexpr std::array kSizes = {1.0, 0.1, 4.0};
// Constants are float32: an exact function differs by some 1e-7.
constexpr double kRoundOff = 1e-5;
/// A layer normalisation reads two rows and an epsilon.
constexpr std::size_t kMostRows = 8;

/// Zeros show nothing of what made them.
bool are_close(const Tensor& computed, const Tensor& expected) {
  if (computed.sizes() != expected.sizes()) return false;
  const double most = expected.abs().max().item<double>();
  return most > 0 && (computed - expected).abs().max().item<double>() <= kRoundOff * most;
}

template <typename Module>
FunctionLayer layer(const onnx::NodeProto& node, Module module, int weight = -1) {
  module->eval();
  module->to(torch::kDouble);
  return {&node, weight, nn::AnyModule(module)};
}

SequenceLSTM lstm_of(const Call& call) {
  const std::vector<Tensor> parameters = lstm_parameters(call);
  SequenceLSTM lstm(parameters[0].size(1), parameters[1].size(1));
  const c10::NoGradGuard no_gradients;
  const auto own = lstm->parameters();
  for (std::size_t i = 0; i < own.size(); ++i) own[i].copy_(parameters[i]);
  return lstm;
}

nn::LayerNorm normalisation(const Tensor& weight, const Tensor& bias, double epsilon) {
  nn::LayerNorm norm(nn::LayerNormOptions({weight.numel()}).eps(epsilon));
  const c10::NoGradGuard no_gradients;
  norm->weight.copy_(weight.flatten());
  norm->bias.copy_(bias.flatten());
  return norm;
}

/// What a dropout takes away in training.
double dropped_share(const Call& call) {
  const Tensor given = call.has(1) ? call.at(1) : torch::tensor(call.node.number("ratio", 0.5));
  const double share = given.numel() == 1 ? given.item<double>() : -1;
  if (!(share >= 0 && share <= 1)) call.node.refuse("drops no share between 0 and 1");
  return share;
}

/// Whether a parameter of the layers has these numbers.
bool has_weight(const Function& function, const Tensor& value) {
  for (const FunctionLayer& one : function.layers)
    for (const Tensor& own : one.module.ptr()->parameters())
      if (own.numel() == value.numel() && own.flatten().equal(value.flatten())) return true;
  return false;
}

bool recurs(const Region& region) {
  return std::any_of(region.nodes.begin(), region.nodes.end(),
                     [](const auto* node) { return node->op_type() == "LSTM"; });
}

/// A constant that a node of the region reads.
struct Read {
  const onnx::NodeProto* node;
  int input;
  Tensor value;
};

}  // namespace

/// Random inputs of the region, and what the graph makes of them.
struct Recogniser::Trial {
  std::map<std::string, Tensor> inputs;
  Evaluation graph;
  Tensor output;

  Tensor joined(const std::vector<std::string>& names) const {
    std::vector<Tensor> parts;
    for (const std::string& name : names) parts.push_back(inputs.at(name));
    return at::cat(parts, -1);
  }
};

/// Absent where the region cannot be computed.
std::optional<Recogniser::Trial> Recogniser::trial(const Region& region, double size) try {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(1);
  Trial trial{{}, Evaluation(file_, constants_, makers_, extents_), {}};
  for (const std::string& name : region.inputs) {
    const auto extents = extents_(name);
    if (!extents) return std::nullopt;
    const Tensor centred = at::randn(*extents, generator, torch::kDouble);
    trial.inputs[name] = (centred + 0.5) * size;
    trial.graph.give(name, trial.inputs[name]);
  }
  trial.output = trial.graph.value(region.output());
  return trial;
} catch (const ConfigError& error) {
  if (!obstacle_) obstacle_ = error;
  return std::nullopt;
} catch (const c10::Error&) {
  return std::nullopt;
}

/// LSTMs and the dropout between them, one behind the other.
std::vector<Recogniser::Layers> Recogniser::recurrences(const Region& region, Trial& trial) const {
  Layers layers;
  for (const auto* node : region.nodes) {
    const NodeReader reader(*node, constants_, file_.path);
    if (reader.values().size() != 1) return {};
    const Call call = trial.graph.call(reader);
    if (node->op_type() == "LSTM") layers.push_back(layer(*node, lstm_of(call), 1));
    if (node->op_type() == "Dropout")
      layers.push_back(layer(*node, nn::Dropout(dropped_share(call))));
  }
  return {layers};
}

/// The layer that stands for a function drops nothing, and learns its own weights alone. Whether a
/// dropout is for training is the exporter's mode, not the network's.
void Recogniser::require_all_is_told(const Function& function, const Region& region,
                                     Trial& trial) const {
  if (recurs(region)) return;  // its dropouts are layers, its states begin as zeros
  for (const auto* node : region.nodes) {
    const NodeReader reader(*node, constants_, file_.path);
    if (node->op_type() == "Dropout" && dropped_share(trial.graph.call(reader)) > 0) {
      reader.refuse(
          "drops numbers inside a function that is trained as one layer without: export the "
          "network with that dropout at 0");
    }
    for (const std::string& name : node->input())
      if (may_learn(name, trial) && !has_weight(function, trial.graph.value(name)))
        reader.refuse(
            fmt::format("reads '{}', whose numbers change nothing now: what it learns is "
                        "no part of the layer that the function is otherwise",
                        name));
  }
}

/// A tensor of the file that adds 0 or multiplies by 1: a parameter that begins so.
bool Recogniser::may_learn(const std::string& name, Trial& trial) const {
  if (!constants_.contains(name) || constants_.is_computed(name)) return false;
  const Tensor& value = trial.graph.value(name);
  return value.is_floating_point() && value.numel() > 1 &&
         (value.eq(0).all().item<bool>() || value.eq(1).all().item<bool>());
}

/// With as many heads as there are scores of each position for each.
std::vector<Recogniser::Layers> Recogniser::attentions(const Region& region, Trial& trial) const {
  const Tensor& output = trial.output;
  const std::int64_t samples = output.size(0), positions = output.size(1);
  for (const auto& [name, input] : trial.inputs)
    if (input.sizes() != trial.inputs.begin()->second.sizes()) return {};
  std::set<std::int64_t> heads;
  for (const auto* node : region.nodes) {
    if (node->op_type() == "Attention") heads.insert(trial.graph.value(node->input(0)).size(1));
    const auto found = trial.graph.values().find(node->output(0));
    if (found == trial.graph.values().end() || found->second.dim() < 3) continue;
    const Tensor& value = found->second;
    if (value.size(-1) == positions && value.size(-2) == positions)
      heads.insert(value.numel() / (samples * positions * positions));
  }
  std::vector<Layers> result;
  for (const std::int64_t count : heads)
    if (count > 0 && output.size(2) % count == 0)
      result.push_back({layer(region.end(), CausalAttention(count))});
  return result;
}

std::vector<Recogniser::Layers> Recogniser::normalisations(const Region& region,
                                                           Trial& trial) const {
  std::vector<Read> rows;
  std::set<double> epsilons;
  const std::int64_t width = trial.output.size(-1);
  for (const auto* node : region.nodes) {
    for (int i = 0; i < node->input_size(); ++i) {
      if (!constants_.contains(node->input(i))) continue;
      const Tensor value = trial.graph.value(node->input(i));
      if (!value.is_floating_point()) continue;
      const double number = value.numel() == 1 ? value.item<double>() : 0;
      if (number > 0 && number < 0.1) epsilons.insert(number);
      const bool is_new = std::none_of(rows.begin(), rows.end(), [&](const Read& row) {
        return row.node->input(row.input) == node->input(i);
      });
      if (value.numel() == width && width > 1 && is_new) rows.push_back({node, i, value});
    }
  }
  if (rows.size() > kMostRows || epsilons.size() > kMostRows) return {};
  std::vector<Layers> result;
  const auto add = [&](const Read& weight, const Tensor& bias) {
    for (const double epsilon : epsilons)
      result.push_back(
          {layer(*weight.node, normalisation(weight.value, bias, epsilon), weight.input)});
  };
  for (const Read& weight : rows) {
    if (weight.value.eq(0).all().item<bool>()) continue;  // whatever it multiplies is gone
    for (const Read& bias : rows)
      if (&bias != &weight) add(weight, bias.value);
    add(weight, at::zeros_like(weight.value));
  }
  return result;
}

/// What the shapes allow.
std::vector<Recogniser::Layers> Recogniser::candidates(const Region& region, Trial& trial) const {
  const Tensor& output = trial.output;
  if (output.numel() == 0) return {};
  const std::int64_t inputs = std::ssize(region.inputs);
  const Tensor& x = trial.inputs.begin()->second;
  if (recurs(region)) return recurrences(region, trial);
  const bool mixes = x.dim() == 3 && output.dim() == 3 && (inputs == 3 || inputs == 1) &&
                     3 * output.size(2) == inputs * x.size(2);
  if (mixes) return attentions(region, trial);
  if (inputs != 1 || x.sizes() != output.sizes() || x.dim() < 2) return {};
  std::vector<Layers> result = normalisations(region, trial);
  for (const char* approximation : {"none", "tanh"})
    result.push_back({layer(region.end(), nn::GELU(nn::GELUOptions().approximate(approximation)))});
  return result;
}

bool Recogniser::equals(Function& function, const Trial& trial) try {
  Tensor x = trial.joined(function.inputs);
  for (FunctionLayer& one : function.layers) x = one.module.forward(x);
  return are_close(x, trial.output);
} catch (const std::exception&) {  // inputs that the layers cannot take
  return false;
}

bool Recogniser::holds(Function& function, const Region& region, const Trial& first) {
  if (!equals(function, first)) return false;
  return std::all_of(kSizes.begin() + 1, kSizes.end(), [&](double size) {
    const auto other = trial(region, size);
    return other && equals(function, *other);
  });
}

/// What it is but for something that the layer has not is an obstacle, behind which the region may
/// still be one that ends earlier.
std::optional<Function> Recogniser::recognise(const Region& region) try {
  const c10::NoGradGuard no_gradients;
  auto first = trial(region, kSizes[0]);
  if (!first || !first->output.is_floating_point()) return std::nullopt;
  for (Layers& layers : candidates(region, *first)) {
    Function function{std::move(layers), {region.inputs.begin(), region.inputs.end()}};
    do {
      if (!holds(function, region, *first)) continue;
      require_all_is_told(function, region, *first);
      for (FunctionLayer& one : function.layers) {
        one.module.ptr()->to(torch::kFloat);
        one.module.ptr()->train();
      }
      return function;
    } while (std::next_permutation(function.inputs.begin(), function.inputs.end()));
  }
  return std::nullopt;
} catch (const ConfigError& error) {
  obstacle_ = error;
  return std::nullopt;
} catch (const c10::Error& error) {
  NodeReader(region.end(), constants_, file_.path)
      .refuse(std::string("cannot be compared with a layer: ") + error.what_without_backtrace());
}

}  // namespace millrace::onnx_import
