#pragma once
// ONNX graphs that tests write node by node, and what becomes of them.

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <onnx/onnx_pb.h>

#include <string>
#include <vector>

#include "framework/base/file.hpp"
#include "millrace/plain_forward.hpp"
#include "models/onnx/import.hpp"
#include "tests/models/data/image_files.hpp"

namespace millrace::testing {

inline at::Tensor evaluated(const Model& model, const at::Tensor& inputs) {
  const c10::NoGradGuard no_gradients;
  for (const Layer& layer : model.layers) layer.module.ptr()->eval();
  return plain_forward(model, inputs);
}

inline at::Tensor inputs_of(const Model& model, std::int64_t samples) {
  std::vector<std::int64_t> shape = model.sample_shape;
  shape.insert(shape.begin(), samples);
  at::manual_seed(5);
  return at::randn(shape);
}

/// A graph written node by node.
struct GraphFile {
  onnx::ModelProto proto;

  explicit GraphFile(const std::vector<std::int64_t>& sample, std::int64_t opset = 17) {
    proto.set_ir_version(8);
    proto.add_opset_import()->set_version(opset);
    auto& input = *graph().add_input();
    input.set_name("x");
    auto& shape = *input.mutable_type()->mutable_tensor_type()->mutable_shape();
    shape.add_dim()->set_dim_param("N");
    for (const std::int64_t extent : sample) shape.add_dim()->set_dim_value(extent);
    graph().add_output()->set_name("y");
  }

  onnx::GraphProto& graph() { return *proto.mutable_graph(); }

  onnx::NodeProto& node(const std::string& type, const std::vector<std::string>& inputs,
                        const std::string& output) {
    onnx::NodeProto& node = *graph().add_node();
    node.set_op_type(type);
    node.set_name("/" + output + "/" + type);
    for (const std::string& input : inputs) node.add_input(input);
    node.add_output(output);
    return node;
  }

  at::Tensor constant(const std::string& name, const std::vector<std::int64_t>& shape) {
    return tensor(name, at::randn(shape));
  }

  at::Tensor tensor(const std::string& name, const at::Tensor& values) {
    const at::Tensor dense = values.contiguous();
    onnx::TensorProto& made = *graph().add_initializer();
    made.set_name(name);
    made.set_data_type(onnx::TensorProto::FLOAT);
    for (const std::int64_t extent : dense.sizes()) made.add_dims(extent);
    for (std::int64_t i = 0; i < dense.numel(); ++i)
      made.add_float_data(dense.data_ptr<float>()[i]);
    return values;
  }

  void numbers(const std::string& name, const std::vector<std::int64_t>& values) {
    onnx::TensorProto& tensor = *graph().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx::TensorProto::INT64);
    tensor.add_dims(static_cast<std::int64_t>(values.size()));
    for (const std::int64_t value : values) tensor.add_int64_data(value);
  }

  Model model() const {
    const ScratchFolder folder;
    write_file_atomically(folder / "own.onnx", proto.SerializeAsString(), "test");
    return import_onnx(folder / "own.onnx");
  }
  std::string refusal() const {
    return message_of([&] { model(); });
  }
};

inline void set(onnx::NodeProto& node, const std::string& name, std::int64_t value) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_i(value);
}

inline void set(onnx::NodeProto& node, const std::string& name,
                const std::vector<std::int64_t>& values) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  for (const std::int64_t value : values) attribute.add_ints(value);
}

inline std::vector<std::string> names_of(const Model& model) {
  std::vector<std::string> names;
  for (const Layer& layer : model.layers) names.push_back(layer.name);
  return names;
}

}  // namespace millrace::testing
