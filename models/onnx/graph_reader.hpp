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

/// A file that was parsed; its operators are of an opset that is read.
struct OnnxFile {
  std::string path;
  onnx::ModelProto proto;
  std::int64_t opset = 0;
};

OnnxFile read_onnx(const std::string& path);

[[noreturn]] void refuse(const std::string& file, const std::string& problem);

/// The graph's constants: initializers, Constant nodes, what is identical to one or a matrix
/// transposed. Values are read when they are asked for, so that others may be of any type. The file
/// outlives it.
class Constants {
 public:
  explicit Constants(const OnnxFile& file);

  bool contains(const std::string& name) const { return entries_.contains(name); }
  /// float32, int64 or bool.
  torch::Tensor value(const std::string& name) const;
  /// What the file calls the tensor that the constant was made from.
  std::string origin(const std::string& name) const;

 private:
  struct Entry {
    const onnx::TensorProto* tensor = nullptr;
    std::string of;  ///< of another constant; "": the tensor's own
    bool transposed = false;
  };
  void add(const onnx::NodeProto& node);

  std::string file_;
  std::map<std::string, Entry> entries_;
};

/// The graph's only input that is no constant.
const onnx::ValueInfoProto& only_input(const OnnxFile& file);
/// Its extents behind the batch.
std::vector<std::int64_t> sample_shape_of(const OnnxFile& file);

/// A node with its constants. Attributes that are absent have ONNX's defaults, given by the caller.
class NodeReader {
 public:
  NodeReader(const onnx::NodeProto& node, const Constants& constants, const std::string& file)
      : node_(node), constants_(constants), file_(file) {}

  const onnx::NodeProto& proto() const { return node_; }
  std::string type() const { return node_.op_type(); }

  std::int64_t integer(const std::string& attribute, std::int64_t absent) const;
  double number(const std::string& attribute, double absent) const;
  std::string text(const std::string& attribute) const;
  std::vector<std::int64_t> integers(const std::string& attribute,
                                     std::vector<std::int64_t> absent) const;
  /// Refuses the node where the attribute has another value.
  void require(const std::string& attribute, std::int64_t value, std::int64_t absent) const;

  /// Input i where it is there and constant.
  std::optional<torch::Tensor> constant(int i) const;
  /// The same as one number.
  std::optional<double> constant_number(int i) const;
  /// The same, which must be floating; `what` says what it is.
  torch::Tensor weight(int i, const std::string& what) const;
  /// What the file calls constant input i; "" where there is none.
  std::string weight_name(int i) const;
  /// Names of the inputs that are values, and the first of them, which must be.
  std::vector<std::string> values() const;
  std::string value() const;
  /// Refuses constants among the inputs.
  void require_values() const;

  [[noreturn]] void refuse(const std::string& problem) const;

 private:
  const onnx::AttributeProto* find(const std::string& attribute) const;

  const onnx::NodeProto& node_;
  const Constants& constants_;
  const std::string& file_;
};

}  // namespace millrace::onnx_import
