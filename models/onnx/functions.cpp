// The importer's way from node to node, and what it makes of functions of several of them.

#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "framework/layers/module_facts.hpp"
#include "millrace/log.hpp"
#include "models/onnx/importer.hpp"

namespace millrace::onnx_import {
namespace {

namespace nn = torch::nn;

/// Of the names' parts before the last dot, where all have the same.
std::string common_owner(const std::vector<std::string>& names) {
  const std::string owner = names.front().substr(0, names.front().rfind('.') + 1);
  const bool shared = std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return name.substr(0, name.rfind('.') + 1) == owner;
  });
  return shared ? owner : "";
}

int reads_of(const Region& region, const std::string& value) {
  std::ptrdiff_t reads = 0;
  for (const auto* node : region.nodes)
    reads += std::count(node->input().begin(), node->input().end(), value);
  return static_cast<int>(reads);
}

}  // namespace

/// As its module makes it of zeros.
std::vector<std::int64_t> Importer::run_extents(const Layer& layer) {
  const c10::NoGradGuard no_gradients;
  std::vector<torch::Tensor> inputs;
  const auto add = [&](const std::vector<std::int64_t>& extents, torch::Dtype type) {
    inputs.push_back(torch::zeros(extents, type));
  };
  if (layer.inputs.empty()) add(*extents(sample_), reads_ids_ ? torch::kLong : torch::kFloat);
  for (const std::string& input : layer.inputs) add(extents_.at(input), torch::kFloat);
  nn::AnyModule module(layer.module);
  module.ptr()->eval();
  const torch::Tensor output =
      is_join(*module.ptr()) ? module.forward(inputs) : module.forward(inputs.front());
  module.ptr()->train();
  return output.sizes().vec();
}

std::optional<std::vector<std::int64_t>> Importer::extents(const std::string& value) {
  const auto made = made_.find(value);
  if (made == made_.end()) return std::nullopt;
  if (made->second.empty()) {
    std::vector<std::int64_t> sample = model_.sample_shape;
    sample.insert(sample.begin(), samples_);
    return sample;
  }
  for (const Layer& layer : model_.layers)
    if (!extents_.contains(layer.name)) extents_[layer.name] = run_extents(layer);
  return extents_.at(made->second);
}

torch::Tensor Importer::computed(const std::string& constant) {
  Evaluation evaluation(file_, constants_, makers_,
                        [this](const std::string& value) { return extents(value); });
  const torch::Tensor value = evaluation.value(constant);
  return value.is_floating_point() ? value.to(torch::kFloat) : value;
}

void Importer::read_all(Nodes unread) {
  while (!unread.empty()) {
    const auto* waiting = read_alone(unread);
    if (waiting == nullptr && unread.empty()) break;
    if (waiting != nullptr && read_function(*waiting, unread)) continue;
    const auto* next = waiting == nullptr ? unread.front() : waiting;
    const NodeReader node(*next, constants_, file_.path);
    if (is_part(node)) node.refuse(kUnknown);
    read(*next);
    std::erase(unread, next);
  }
}

/// Whether its operator alone does not say what it is.
bool Importer::is_part(const NodeReader& node) try {
  return reads_ids_ && !node.values().empty() && begins_function(*this, node);
} catch (const c10::Error& error) {
  node.refuse(std::string("reads what cannot be computed: ") + error.what_without_backtrace());
}

const onnx::NodeProto* Importer::read_alone(Nodes& unread) {
  const onnx::NodeProto* waiting = nullptr;
  std::erase_if(unread, [&](const onnx::NodeProto* proto) {
    const NodeReader node(*proto, constants_, file_.path);
    const auto values = node.values();
    const bool known = std::all_of(values.begin(), values.end(),
                                   [&](const std::string& value) { return made_.contains(value); });
    if (!known) return false;
    const bool alone = operators().contains(proto->op_type()) && !is_part(node);
    if (alone) read(*proto);
    if (!alone && waiting == nullptr) waiting = proto;
    return alone;
  });
  return waiting;
}

bool Importer::read_function(const onnx::NodeProto& first, Nodes& unread) {
  const RegionFacts facts{unread,
                          constants_,
                          readers_,
                          [this](const std::string& value) { return made_.contains(value); },
                          graph().output(0).name(),
                          file_.path};
  Recogniser recogniser(file_, constants_, makers_,
                        [this](const std::string& value) { return extents(value); });
  for (const Region& region : regions_from(first, facts)) {
    if (reads_ids_ && region.inputs.contains(sample_)) continue;
    auto found = recogniser.recognise(region);
    if (!found) continue;
    add_function(*found, region);
    std::erase_if(unread, [&](const auto* node) {
      return std::find(region.nodes.begin(), region.nodes.end(), node) != region.nodes.end();
    });
    return true;
  }
  if (recogniser.obstacle()) throw *recogniser.obstacle();
  return false;
}

void Importer::add_function(Function& function, const Region& region) {
  const NodeReader end(region.end(), constants_, file_.path);
  std::vector<std::string> inputs = function_inputs(function, region);
  for (FunctionLayer& layer : function.layers) {
    const NodeReader node(*layer.node, constants_, file_.path);
    const std::string name = name_of(node, layer.weight);
    if (!inputs.empty() && is_rows(inputs.front())) rows_.insert(name);
    if (node.type() == "Dropout") saw_training();
    add_reading(end, name, std::move(layer.module), std::move(inputs));
    inputs = {name};
  }
}

/// Layers that the function reads: one.
std::vector<std::string> Importer::function_inputs(const Function& function, const Region& region) {
  if (function.inputs.size() > 1) return {join_projections(function, region)};
  return {
      producer(NodeReader(*region.nodes.front(), constants_, file_.path), function.inputs.front())};
}

/// Queries, keys and values of linear layers of their own become those of one.
std::string Importer::join_projections(const Function& function, const Region& region) {
  const NodeReader end(region.end(), constants_, file_.path);
  std::vector<std::string> names;
  std::vector<torch::Tensor> weights, biases;
  std::vector<std::string> inputs;
  for (const std::string& value : function.inputs) {
    names.push_back(producer(end, value));
    if (readers_of(names.back()) != reads_of(region, value))
      end.refuse(fmt::format("attends to '{}', which others read, too", value));
    const auto found = std::find_if(model_.layers.begin(), model_.layers.end(),
                                    [&](const Layer& layer) { return layer.name == names.back(); });
    const auto* linear =
        found == model_.layers.end() ? nullptr : found->module.ptr()->as<nn::LinearImpl>();
    if (linear == nullptr || (!weights.empty() && found->inputs != inputs))
      end.refuse("attends to queries, keys and values that are not linear layers of one value");
    inputs = found->inputs;
    weights.push_back(linear->weight);
    if (linear->bias.defined()) biases.push_back(linear->bias);
  }
  if (!biases.empty() && biases.size() != weights.size())
    end.refuse("attends to queries, keys and values of which some alone have a bias");
  const torch::Tensor weight = torch::cat(weights);
  nn::Linear joined(nn::LinearOptions(weight.size(1), weight.size(0)).bias(!biases.empty()));
  set_parameter(end, joined->weight, weight);
  if (!biases.empty()) set_parameter(end, joined->bias, torch::cat(biases));
  for (const std::string& name : names) extents_.erase(name);
  std::erase_if(model_.layers, [&](const Layer& layer) {
    return std::find(names.begin(), names.end(), layer.name) != names.end();
  });
  const std::string name = unused(common_owner(names) + "qkv");
  log_info("onnx", fmt::format("the linear layers {} are trained as one, '{}'",
                               fmt::join(names, ", "), name));
  model_.add(name, joined, inputs);
  return name;
}

}  // namespace millrace::onnx_import
