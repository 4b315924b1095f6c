#pragma once
// The parts of an ONNX graph as the import asks for them. Errors are ConfigErrors (tag "onnx") that
// name file and node.

#include <onnx/onnx_pb.h>
#include <torch/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/onnx/files.hpp"

namespace millrace::onnx_import {

constexpr const char* kComputedShape =
    "computes a shape in a way that is not read: use torch.flatten(x, 1) and export again";

/// A file that was parsed; its operators are of an opset that is read.
struct OnnxFile {
  std::string path;
  onnx::ModelProto proto;
  std::int64_t opset = 0;
  std::shared_ptr<DataFiles> data;  ///< of external tensors, opened when they are read
};

OnnxFile read_onnx(const std::string& path);
/// Of a file that is open.
OnnxFile read_onnx(const InputFile& file);

/// What a computed shape has in place of extents that only a batch has: the number of samples, and
/// those behind it, of a value that is no constant.
constexpr std::int64_t kBatchExtent = -(std::int64_t{1} << 62), kOpenExtent = kBatchExtent + 1;

/// Of the file: float32, int64 or bool.
torch::Tensor tensor_of(const onnx::TensorProto& proto, const OnnxFile& file);

/// The graph's constants: initializers, Constant nodes, what is identical to one, a matrix
/// transposed, and what is computed of these and of shapes (folding.hpp). Values are read when they
/// are asked for, so that others may be of any type. The file outlives it.
class Constants {
 public:
  explicit Constants(const OnnxFile& file);

  bool contains(const std::string& name) const { return entries_.contains(name); }
  /// float32, int64 or bool. One that is computed of itself is refused.
  torch::Tensor value(const std::string& name) const;
  /// Its extents; a tensor's of the file are not read for them.
  std::vector<std::int64_t> sizes(const std::string& name) const;
  /// What the file calls the tensor that the constant was made from.
  std::string origin(const std::string& name) const;
  /// Whether it is neither a tensor of the file nor a copy of one.
  bool is_computed(const std::string& name) const;

 private:
  struct Entry {
    const onnx::TensorProto* tensor = nullptr;
    std::string of;  ///< of this constant, which is no copy itself; "": its own
    bool transposed = false;
    const onnx::NodeProto* node = nullptr;  ///< that computes it
    int depth = 0;                          ///< nodes from a tensor of the file
  };
  void add(const onnx::NodeProto& node);
  void add_copy(const onnx::NodeProto& node);
  void add_computed(const onnx::NodeProto& node);
  torch::Tensor computed(const std::string& name, const onnx::NodeProto& node) const;

  const OnnxFile& file_;
  std::map<std::string, Entry> entries_;
  mutable std::map<std::string, torch::Tensor> computed_;  ///< each once
  mutable int under_way_ = 0;                              ///< that are computed for one another
};

/// The graph's only input that is no constant.
const onnx::ValueInfoProto& only_input(const OnnxFile& file);
/// Its extents behind the batch.
std::vector<std::int64_t> sample_shape_of(const OnnxFile& file);
/// Whether it is of token ids, int64.
bool reads_ids(const OnnxFile& file);

/// Whether the operator is ONNX's own.
bool is_onnx(const onnx::NodeProto& node);

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
  std::vector<std::string> texts(const std::string& attribute) const;
  /// Of `file`, where the attribute is there.
  std::optional<torch::Tensor> tensor(const std::string& attribute, const OnnxFile& file) const;
  std::vector<std::int64_t> integers(const std::string& attribute,
                                     std::vector<std::int64_t> absent) const;
  /// Refuses the node where the attribute has another value.
  void require(const std::string& attribute, std::int64_t value, std::int64_t absent) const;

  /// Input i where it is there and constant.
  std::optional<torch::Tensor> constant(int i) const;
  std::optional<std::vector<std::int64_t>> sizes(int i) const;
  bool is_computed(int i) const;
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
