#pragma once
// The parts of an ONNX graph as the import asks for them. Errors are ConfigErrors (tag "onnx") that
// name file and node.

#include <onnx/onnx_pb.h>
#include <torch/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace millrace::onnx_import {

/// Parses the file; checks opset and operators' domain.
onnx::ModelProto read_proto(const std::string& file);

[[noreturn]] void refuse(const std::string& file, const std::string& problem);

/// The tensor's values; its type is float32 or int64.
torch::Tensor tensor_of(const onnx::TensorProto& proto, const std::string& file);

/// Constants of a graph: initializers, Constant nodes and what is identical to one.
using Constants = std::map<std::string, torch::Tensor>;
Constants constants_of(const onnx::GraphProto& graph, const std::string& file);

/// The graph's only input that is no constant.
const onnx::ValueInfoProto& only_input(const onnx::GraphProto& graph, const std::string& file);
/// Its extents behind the batch.
std::vector<std::int64_t> sample_shape_of(const onnx::ValueInfoProto& input,
                                          const std::string& file);

/// A node with its constants. Attributes that are absent have ONNX's defaults, given by the caller.
class NodeReader {
 public:
  NodeReader(const onnx::NodeProto& node, const Constants& constants, const std::string& file)
      : node_(node), constants_(constants), file_(file) {}

  const onnx::NodeProto& proto() const { return node_; }
  std::string type() const { return node_.op_type(); }

  bool has(const std::string& attribute) const { return find(attribute) != nullptr; }
  std::int64_t integer(const std::string& attribute, std::int64_t absent) const;
  double number(const std::string& attribute, double absent) const;
  std::string text(const std::string& attribute) const;
  std::vector<std::int64_t> integers(const std::string& attribute,
                                     std::vector<std::int64_t> absent) const;
  /// Refuses the node where the attribute has another value.
  void require(const std::string& attribute, std::int64_t value, std::int64_t absent) const;

  /// Input i where it is there and constant.
  std::optional<torch::Tensor> constant(int i) const;
  /// The same, which must be.
  torch::Tensor weight(int i, const std::string& what) const;
  /// Names of the inputs that are values, and the first of them, which must be.
  std::vector<std::string> values() const;
  std::string value() const;

  [[noreturn]] void refuse(const std::string& problem) const;

 private:
  const onnx::AttributeProto* find(const std::string& attribute) const;

  const onnx::NodeProto& node_;
  const Constants& constants_;
  const std::string& file_;
};

}  // namespace millrace::onnx_import
