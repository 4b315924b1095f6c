#pragma once
// LSTM layers of ONNX: [positions, N, in] -> [positions, 1, N, out], gates in ONNX's order.

#include <torch/types.h>

#include <vector>

#include "models/onnx/operations.hpp"

namespace millrace::onnx_import {

/// What torch::nn::LSTM calls weight_ih, weight_hh, bias_ih, bias_hh, of an LSTM node; the biases
/// are zeros where it has none. Refuses weights of other shapes.
std::vector<torch::Tensor> lstm_parameters(const Call& call);

/// Outputs and both last states. Refuses the node where it is no LSTM of one direction, with the
/// usual activations, over whole samples, from states of 0.
std::vector<torch::Tensor> run_lstm(const Call& call);

}  // namespace millrace::onnx_import
