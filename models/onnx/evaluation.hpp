#pragma once
// Values of a graph computed from others, to see what a part of it does.

#include <torch/types.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "models/onnx/graph_reader.hpp"
#include "models/onnx/operations.hpp"

namespace millrace::onnx_import {

/// Extents of a value that is not computed, where they are known.
using ExtentsOf = std::function<std::optional<std::vector<std::int64_t>>(const std::string&)>;

/// A graph's nodes by what they make.
using Makers = std::map<std::string, const onnx::NodeProto*>;
Makers makers_in(const onnx::GraphProto& graph);

/// Computes in double precision. What it is made with outlives it.
class Evaluation {
 public:
  Evaluation(const OnnxFile& file, const Constants& constants, const Makers& makers,
             ExtentsOf extents)
      : file_(file), constants_(constants), makers_(makers), extents_(std::move(extents)) {}

  /// What stands for the value from here on.
  void give(const std::string& name, const torch::Tensor& value) { values_[name] = value; }
  /// A given value, a constant, or what nodes make of these: double, int64 or bool. Throws
  /// ConfigError where a node is not computed (operations.hpp).
  const torch::Tensor& value(const std::string& name) {
    depth_ = 0;
    return computed(name);
  }
  /// The node with what it reads.
  Call call(const NodeReader& node);
  /// What was computed and given so far.
  const std::map<std::string, torch::Tensor>& values() const { return values_; }

 private:
  const torch::Tensor& computed(const std::string& name);
  void run(const onnx::NodeProto& proto);
  torch::Tensor input(const onnx::NodeProto& node, const std::string& name);

  const OnnxFile& file_;
  const Constants& constants_;
  const Makers& makers_;
  ExtentsOf extents_;
  std::map<std::string, torch::Tensor> values_;
  int depth_ = 0;
};

}  // namespace millrace::onnx_import
