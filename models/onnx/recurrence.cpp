#include "models/onnx/recurrence.hpp"

#include <ATen/Functions.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace millrace::onnx_import {
namespace {

using torch::Tensor;

enum Input : std::size_t { kX, kWeight, kStateWeight, kBias, kLengths, kState, kCell, kPeepholes };

/// Rows of ONNX's gates (input, output, forget, cell) in LibTorch's order (input, forget, cell,
/// output).
Tensor libtorch_gates(const Tensor& rows) {
  const std::vector<Tensor> gates = rows.chunk(4);
  return at::cat({gates[0], gates[2], gates[3], gates[1]});
}

void require_plain(const Call& call) {
  const NodeReader& node = call.node;
  const std::string direction = node.text("direction");
  if (!direction.empty() && direction != "forward")
    node.refuse(
        fmt::format("has the direction {}, forward is trained: a text's characters follow "
                    "one another",
                    direction));
  const std::vector<std::string> activations = node.texts("activations");
  if (!activations.empty() && activations != std::vector<std::string>{"Sigmoid", "Tanh", "Tanh"})
    node.refuse(fmt::format("has the activations {}, Sigmoid, Tanh, Tanh are trained",
                            fmt::join(activations, ", ")));
  node.require("input_forget", 0, 0);
  if (node.number("clip", 0) != 0) node.refuse("clips its gates, LibTorch's LSTM does not");
  if (call.has(kLengths))
    node.refuse("has lengths of sequences: samples are of one length, leave them out");
  if (call.has(kPeepholes)) node.refuse("has peepholes, LibTorch's LSTM has none");
}

void require_zeros(const Call& call, std::size_t i) {
  if (call.has(i) && call.at(i).count_nonzero().item<std::int64_t>() > 0)
    call.node.refuse("begins with states that are not 0, which each sample begins with here");
}

}  // namespace

std::vector<Tensor> lstm_parameters(const Call& call) {
  const Tensor &weight = call.at(kWeight), &state = call.at(kStateWeight);
  const bool fits = weight.dim() == 3 && state.dim() == 3 && weight.size(0) == 1 &&
                    state.sizes() == at::IntArrayRef({1, 4 * state.size(2), state.size(2)}) &&
                    weight.size(1) == state.size(1);
  if (!fits)
    call.node.refuse(fmt::format("has weights of [{}] and [{}], one direction's are trained",
                                 fmt::join(weight.sizes(), ", "), fmt::join(state.sizes(), ", ")));
  const std::int64_t rows = weight.size(1);
  const Tensor biases =
      call.has(kBias) ? call.at(kBias) : torch::zeros({1, 2 * rows}, weight.options());
  if (biases.sizes() != at::IntArrayRef({1, 2 * rows}))
    call.node.refuse(fmt::format("has biases of [{}] where [1, {}] are needed",
                                 fmt::join(biases.sizes(), ", "), 2 * rows));
  const std::vector<Tensor> bias = biases[0].chunk(2);
  return {libtorch_gates(weight[0]), libtorch_gates(state[0]), libtorch_gates(bias[0]),
          libtorch_gates(bias[1])};
}

std::vector<Tensor> run_lstm(const Call& call) {
  require_plain(call);
  require_zeros(call, kState);
  require_zeros(call, kCell);
  const bool samples_first = call.node.integer("layout", 0) != 0;
  const Tensor x = samples_first ? call.at(kX).transpose(0, 1) : call.at(kX);
  const std::vector<Tensor> parameters = lstm_parameters(call);
  const Tensor zeros = torch::zeros({1, x.size(1), parameters[1].size(1)}, x.options());
  auto [y, state, cell] =
      at::lstm(x, {zeros, zeros}, parameters, true, 1, 0.0, false, false, false);
  y = y.unsqueeze(1);
  if (!samples_first) return {y, state, cell};
  return {y.permute({2, 0, 1, 3}), state.transpose(0, 1), cell.transpose(0, 1)};
}

}  // namespace millrace::onnx_import
