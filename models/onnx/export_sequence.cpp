// Layers of networks that read sequences, as ONNX operators: [N, positions, features].

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <array>
#include <cmath>
#include <limits>

#include "millrace/sequence.hpp"
#include "models/onnx/export_layer.hpp"

namespace millrace::onnx_export {
namespace {

constexpr double kPi = 3.14159265358979323846;

void write_embedding(LayerExport& layer) {
  const auto& embedding = *layer.module.as<nn::EmbeddingImpl>();
  layer.inputs.insert(layer.inputs.begin(),
                      layer.graph.add_initializer(layer.facts.name + ".weight", embedding.weight));
  layer.node("Gather");
}

void write_place_embedding(LayerExport& layer) {
  const auto& places = *layer.module.as<PlaceEmbeddingImpl>();
  if (places.weight.size(0) != layer.facts.input_shape[0])
    layer.refuse("an embedding of more places than the input has");
  layer.add_weights({{"weight", places.weight}});
  layer.node("Add");
}

void write_layer_norm(LayerExport& layer) {
  const auto& norm = *layer.module.as<nn::LayerNormImpl>();
  const auto extents = static_cast<std::int64_t>(norm.options.normalized_shape().size());
  if (!norm.options.elementwise_affine()) layer.refuse("layer normalisation without weights");
  layer.add_weights({{"weight", norm.weight}, {"bias", norm.bias}});
  onnx::NodeProto& node = layer.node("LayerNormalization");
  set(node, "axis", -extents);
  set(node, "epsilon", static_cast<float>(norm.options.eps()));
}

/// x / 2 (1 + erf(x / sqrt 2)); approximated: x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
void write_gelu(LayerExport& layer) {
  const auto number = [&](const char* name, double value) {
    return layer.graph.add_number(layer.facts.name + "." + name, static_cast<float>(value));
  };
  const std::string& x = layer.inputs.front();
  const bool exact = layer.module.as<nn::GELUImpl>()->options.approximate() == "none";
  std::string inner = x;
  if (!exact) {
    const std::string cube = layer.part("Mul", "cube", {layer.part("Mul", "square", {x, x}), x});
    const std::string part = layer.part("Mul", "part", {cube, number("share_of_cube", 0.044715)});
    inner = layer.part("Add", "inner", {x, part});
  }
  const std::string scaled = layer.part(
      "Mul", "scaled", {inner, number("scale", exact ? std::sqrt(0.5) : std::sqrt(2 / kPi))});
  const std::string bent =
      exact ? layer.part("Erf", "erf", {scaled}) : layer.part("Tanh", "tanh", {scaled});
  const std::string share = layer.part("Add", "share", {bent, number("one", 1)});
  layer.inputs = {layer.part("Mul", "half", {x, number("factor", 0.5)}), share};
  layer.node("Mul");
}

/// Of a linear layer with positions: Gemm takes rows alone.
void write_linear(LayerExport& layer) {
  const auto& linear = *layer.module.as<nn::LinearImpl>();
  const std::string weight =
      layer.graph.add_initializer(layer.facts.name + ".weight", linear.weight);
  layer.inputs.push_back(layer.part("Transpose", "transposed", {weight}));
  if (!linear.bias.defined()) {
    layer.node("MatMul");
    return;
  }
  layer.inputs = {layer.part("MatMul", "product", layer.inputs)};
  layer.add_weights({{"bias", linear.bias}});
  layer.node("Add");
}

std::string transpose(const LayerExport& layer, const std::string& name, const std::string& from,
                      const std::vector<std::int64_t>& order) {
  onnx::NodeProto& node = layer.graph.add_node("Transpose", layer.facts.name + "." + name, {from});
  set(node, "perm", order);
  return node.output(0);
}

/// Queries, keys and values.
std::array<std::string, 3> split(const LayerExport& layer) {
  onnx::NodeProto& node =
      layer.graph.add_node("Split", layer.facts.name + ".queries", {layer.inputs.front()});
  set(node, "axis", std::int64_t{2});
  node.add_output(layer.facts.name + ".keys");
  node.add_output(layer.facts.name + ".values");
  return {node.output(0), node.output(1), node.output(2)};
}

std::string mask(const LayerExport& layer, std::int64_t positions) {
  const at::Tensor later =
      at::full({positions, positions}, -std::numeric_limits<float>::infinity()).triu(1);
  return layer.graph.add_numbers(layer.facts.name + ".later", later);
}

void write_attention(LayerExport& layer) {
  const std::int64_t heads = layer.module.as<CausalAttentionImpl>()->heads();
  const std::int64_t positions = layer.facts.output_shape[0], width = layer.facts.output_shape[1];
  const std::int64_t depth = width / heads;
  const std::string by_head =
      layer.graph.add_extents(layer.facts.name + ".by_head", {0, positions, heads, depth});
  const auto heads_of = [&](const std::string& name, const std::string& from,
                            const std::vector<std::int64_t>& order) {
    return transpose(layer, name, layer.part("Reshape", name + ".by_head", {from, by_head}), order);
  };
  const auto [queries, keys, values] = split(layer);
  const std::string products =
      layer.part("MatMul", "products",
                 {heads_of("q", queries, {0, 2, 1, 3}), heads_of("k", keys, {0, 2, 3, 1})});
  const std::string scale = layer.graph.add_number(
      layer.facts.name + ".scale", static_cast<float>(1 / std::sqrt(static_cast<double>(depth))));
  const std::string scores = layer.part(
      "Add", "scores", {layer.part("Mul", "scaled", {products, scale}), mask(layer, positions)});
  const std::string shares = layer.part("Softmax", "shares", {scores});
  const std::string mixed =
      layer.part("MatMul", "mixed", {shares, heads_of("v", values, {0, 2, 1, 3})});
  layer.inputs = {transpose(layer, "by_position", mixed, {0, 2, 1, 3}),
                  layer.graph.add_extents(layer.facts.name + ".shape", {0, positions, width})};
  layer.node("Reshape");
}

/// Rows of LibTorch's gates (input, forget, cell, output) as ONNX has them (input, output, forget,
/// cell), behind the one direction.
at::Tensor onnx_gates(const at::Tensor& rows) {
  const std::vector<at::Tensor> gates = rows.detach().chunk(4);
  return at::cat({gates[0], gates[3], gates[1], gates[2]}).unsqueeze(0);
}

void write_lstm(LayerExport& layer) {
  const auto parameters = layer.module.named_parameters();
  const auto add = [&](const std::string& name) {
    return layer.graph.add_initializer(layer.facts.name + "." + name, onnx_gates(parameters[name]));
  };
  const std::string by_position = transpose(layer, "by_position", layer.inputs.front(), {1, 0, 2});
  const std::string in = add("weight_ih_l0"), state = add("weight_hh_l0");
  onnx::NodeProto& bias = layer.graph.add_node("Concat", layer.facts.name + ".bias",
                                               {add("bias_ih_l0"), add("bias_hh_l0")});
  set(bias, "axis", std::int64_t{1});
  const std::string bias_name = bias.output(0);
  onnx::NodeProto& lstm = layer.graph.add_node("LSTM", layer.facts.name + ".states",
                                               {by_position, in, state, bias_name});
  set(lstm, "hidden_size", layer.facts.output_shape[1]);
  const std::string one_direction =
      layer.part("Squeeze", "one_direction",
                 {lstm.output(0), layer.graph.add_extents(layer.facts.name + ".direction", {1})});
  layer.inputs = {one_direction};
  set(layer.node("Transpose"), "perm", {1, 0, 2});
}

}  // namespace

const std::map<std::string, LayerWriter>& sequence_writers() {
  static const std::map<std::string, LayerWriter> all = {{"embedding", write_embedding},
                                                         {"place_embedding", write_place_embedding},
                                                         {"layer_norm", write_layer_norm},
                                                         {"gelu", write_gelu},
                                                         {"linear", write_linear},
                                                         {"attention", write_attention},
                                                         {"lstm", write_lstm}};
  return all;
}

}  // namespace millrace::onnx_export
