#pragma once
// What ONNX operators compute, one by one, in double precision: to see what a part of a graph does
// (regions.hpp), not to train it.

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "models/onnx/graph_reader.hpp"

namespace millrace::onnx_import {

/// A node and what it reads: double, int64 or bool; undefined where an input is left out.
struct Call {
  const OnnxFile& file;
  const NodeReader& node;
  std::vector<torch::Tensor> inputs;

  bool has(std::size_t i) const { return i < inputs.size() && inputs[i].defined(); }
  /// Refuses the node where there is none.
  const torch::Tensor& at(std::size_t i) const;
  /// The same as whole numbers.
  std::vector<std::int64_t> numbers(std::size_t i) const;
};

/// Makes the node's outputs, views of the inputs where that is enough. Throws ConfigError naming
/// the node (attributes that are not computed, more numbers than 2^28) or c10::Error (shapes).
using Operation = std::function<std::vector<torch::Tensor>(const Call&)>;

/// By operator: arithmetic, comparisons and shapes, and LSTM.
const std::map<std::string, Operation>& operations();

}  // namespace millrace::onnx_import
