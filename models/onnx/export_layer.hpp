#pragma once
// What writes the layers of a network into an ONNX graph.

#include <onnx/onnx_pb.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "millrace/errors.hpp"
#include "millrace/model.hpp"

namespace millrace::onnx_export {

namespace nn = torch::nn;

/// Appends to a graph.
class GraphWriter {
 public:
  explicit GraphWriter(onnx::GraphProto& graph) : graph_(graph) {}

  onnx::NodeProto& add_node(const std::string& type, const std::string& name,
                            const std::vector<std::string>& inputs) {
    onnx::NodeProto& node = *graph_.add_node();
    node.set_op_type(type);
    node.set_name(name);
    for (const std::string& input : inputs) node.add_input(input);
    node.add_output(name);
    return node;
  }

  /// Returns its name.
  std::string add_initializer(const std::string& name, const at::Tensor& tensor) {
    const at::Tensor dense = tensor.detach().contiguous();
    onnx::TensorProto& proto = *graph_.add_initializer();
    proto.set_name(name);
    proto.set_data_type(onnx::TensorProto::FLOAT);
    for (const std::int64_t extent : dense.sizes()) proto.add_dims(extent);
    proto.set_raw_data(dense.data_ptr(), dense.nbytes());
    return name;
  }

  /// Numbers that are no weights.
  std::string add_numbers(const std::string& name, const at::Tensor& tensor) {
    add_initializer(name, tensor);
    onnx::TensorProto& proto = *graph_.mutable_initializer(graph_.initializer_size() - 1);
    proto.clear_raw_data();
    const float* const data = tensor.data_ptr<float>();
    proto.mutable_float_data()->Add(data, data + tensor.numel());
    return name;
  }

  /// Extents or axes as an input.
  std::string add_extents(const std::string& name, const std::vector<std::int64_t>& extents) {
    onnx::TensorProto& proto = *graph_.add_initializer();
    proto.set_name(name);
    proto.set_data_type(onnx::TensorProto::INT64);
    proto.add_dims(static_cast<std::int64_t>(extents.size()));
    for (const std::int64_t extent : extents) proto.add_int64_data(extent);
    return name;
  }

  /// A number as an input.
  std::string add_number(const std::string& name, float value) {
    onnx::TensorProto& proto = *graph_.add_initializer();
    proto.set_name(name);
    proto.set_data_type(onnx::TensorProto::FLOAT);
    proto.add_float_data(value);
    return name;
  }

 private:
  onnx::GraphProto& graph_;
};

inline void set(onnx::NodeProto& node, const std::string& name, std::int64_t value) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(onnx::AttributeProto::INT);
  attribute.set_i(value);
}

inline void set(onnx::NodeProto& node, const std::string& name, float value) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(onnx::AttributeProto::FLOAT);
  attribute.set_f(value);
}

inline void set(onnx::NodeProto& node, const std::string& name,
                const std::vector<std::int64_t>& values) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(onnx::AttributeProto::INTS);
  for (const std::int64_t value : values) attribute.add_ints(value);
}

/// One layer on its way into the graph.
struct LayerExport {
  GraphWriter& graph;
  const nn::Module& module;
  const LayerFacts& facts;
  std::vector<std::string> inputs;

  /// The node that makes the layer's output.
  onnx::NodeProto& node(const std::string& type) const {
    return graph.add_node(type, facts.name, inputs);
  }
  /// Of a part of the layer; returns the name of what it makes.
  std::string part(const std::string& type, const std::string& name,
                   const std::vector<std::string>& from) const {
    return graph.add_node(type, facts.name + "." + name, from).output(0);
  }
  /// Makes the module's own parameters and buffers inputs.
  void add_weights(std::initializer_list<std::pair<const char*, at::Tensor>> tensors) {
    for (const auto& [name, tensor] : tensors)
      if (tensor.defined())
        inputs.push_back(graph.add_initializer(facts.name + "." + name, tensor));
  }
  [[noreturn]] void refuse(const std::string& what) const {
    throw ConfigError("export", "layer '" + facts.name + "': " + what +
                                    " has no ONNX operator here: export .safetensors or .pt");
  }
};

using LayerWriter = std::function<void(LayerExport&)>;

/// By type, those of networks that read sequences (export_sequence.cpp).
const std::map<std::string, LayerWriter>& sequence_writers();

}  // namespace millrace::onnx_export
