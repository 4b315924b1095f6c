#include "models/onnx/export.hpp"

#include <onnx/onnx_pb.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "framework/base/file.hpp"
#include "models/onnx/export_layer.hpp"
#include "models/onnx/files.hpp"

namespace millrace {
namespace {

using namespace onnx_export;

constexpr int kIrVersion = 8, kOpset = 13;
constexpr int kLayerNormOpset = 17;  // the first that has it

std::vector<std::int64_t> values(const torch::ExpandingArray<2>& pair) {
  return {pair->begin(), pair->end()};
}

/// Begins, then ends, of rows and columns.
std::vector<std::int64_t> pads(const torch::ExpandingArray<2>& padding) {
  return {padding->at(0), padding->at(1), padding->at(0), padding->at(1)};
}

void write_conv(LayerExport& layer) {
  const auto& conv = *layer.module.as<nn::Conv2dImpl>();
  const auto& options = conv.options;
  const auto* padding = c10::get_if<torch::ExpandingArray<2>>(&options.padding());
  if (!padding || !c10::get_if<torch::enumtype::kZeros>(&options.padding_mode()))
    layer.refuse("a convolution whose padding is not of zeros and numbers");
  layer.add_weights({{"weight", conv.weight}, {"bias", conv.bias}});
  onnx::NodeProto& node = layer.node("Conv");
  set(node, "kernel_shape", values(options.kernel_size()));
  set(node, "strides", values(options.stride()));
  set(node, "pads", pads(*padding));
  set(node, "dilations", values(options.dilation()));
  set(node, "group", options.groups());
}

void write_linear(LayerExport& layer) {
  const auto& linear = *layer.module.as<nn::LinearImpl>();
  if (layer.facts.input_shape.size() != 1) return sequence_writers().at("linear")(layer);
  layer.add_weights({{"weight", linear.weight}, {"bias", linear.bias}});
  set(layer.node("Gemm"), "transB", std::int64_t{1});
}

void write_batch_norm(LayerExport& layer) {
  const auto write = [&](const auto& norm) {
    layer.add_weights({{"weight", norm.weight},
                       {"bias", norm.bias},
                       {"running_mean", norm.running_mean},
                       {"running_var", norm.running_var}});
    onnx::NodeProto& node = layer.node("BatchNormalization");
    set(node, "epsilon", static_cast<float>(norm.options.eps()));
    set(node, "momentum", static_cast<float>(1 - norm.options.momentum().value()));
  };
  if (const auto* images = layer.module.as<nn::BatchNorm2dImpl>()) return write(*images);
  write(*layer.module.as<nn::BatchNorm1dImpl>());
}

void write_max_pool(LayerExport& layer) {
  const auto& options = layer.module.as<nn::MaxPool2dImpl>()->options;
  onnx::NodeProto& node = layer.node("MaxPool");
  set(node, "kernel_shape", values(options.kernel_size()));
  set(node, "strides", values(options.stride()));
  set(node, "pads", pads(options.padding()));
  set(node, "dilations", values(options.dilation()));
  set(node, "ceil_mode", std::int64_t{options.ceil_mode()});
}

void write_average_pool(LayerExport& layer) {
  const auto& options = layer.module.as<nn::AvgPool2dImpl>()->options;
  if (options.divisor_override()) layer.refuse("an average with a divisor of its own");
  onnx::NodeProto& node = layer.node("AveragePool");
  set(node, "kernel_shape", values(options.kernel_size()));
  set(node, "strides", values(options.stride()));
  set(node, "pads", pads(options.padding()));
  set(node, "count_include_pad", std::int64_t{options.count_include_pad()});
  set(node, "ceil_mode", std::int64_t{options.ceil_mode()});
}

/// Windows of one size, where the output's sides divide the input's.
void write_adaptive_pool(LayerExport& layer) {
  const auto &in = layer.facts.input_shape, &out = layer.facts.output_shape;
  if (in == out) {
    layer.node("Identity");
    return;
  }
  if (out[1] == 1 && out[2] == 1) {
    layer.node("GlobalAveragePool");
    return;
  }
  if (in[1] % out[1] != 0 || in[2] % out[2] != 0)
    layer.refuse("adaptive pooling with windows of several sizes");
  onnx::NodeProto& node = layer.node("AveragePool");
  set(node, "kernel_shape", {in[1] / out[1], in[2] / out[2]});
  set(node, "strides", {in[1] / out[1], in[2] / out[2]});
}

void write_relu6(LayerExport& layer) {
  layer.inputs.push_back(layer.graph.add_number(layer.facts.name + ".min", 0));
  layer.inputs.push_back(layer.graph.add_number(layer.facts.name + ".max", 6));
  layer.node("Clip");
}

void write_flatten(LayerExport& layer) {
  if (layer.facts.output_shape.size() != 1) layer.refuse("flattening of some dimensions alone");
  set(layer.node("Flatten"), "axis", std::int64_t{1});
}

void write_dropout(LayerExport& layer) {
  const double p = layer.module.as<nn::DropoutImpl>()->options.p();
  layer.inputs.push_back(
      layer.graph.add_number(layer.facts.name + ".ratio", static_cast<float>(p)));
  layer.node("Dropout");
}

const std::map<std::string, LayerWriter>& writers() {
  const auto plain = [](const char* type) {
    return [type](LayerExport& layer) { layer.node(type); };
  };
  static const std::map<std::string, LayerWriter> all = {
      {"conv2d", write_conv},
      {"linear", write_linear},
      {"batch_norm", write_batch_norm},
      {"max_pool2d", write_max_pool},
      {"avg_pool2d", write_average_pool},
      {"adaptive_avg_pool2d", write_adaptive_pool},
      {"relu", plain("Relu")},
      {"relu6", write_relu6},
      {"flatten", write_flatten},
      {"dropout", write_dropout},
      {"identity", plain("Identity")},
      {"add", plain("Sum")},
      {"concat", [](LayerExport& layer) { set(layer.node("Concat"), "axis", std::int64_t{1}); }}};
  return all;
}

void describe(onnx::ValueInfoProto& value, const std::string& name,
              const std::vector<std::int64_t>& shape, bool ids = false) {
  value.set_name(name);
  onnx::TypeProto::Tensor& type = *value.mutable_type()->mutable_tensor_type();
  type.set_elem_type(ids ? onnx::TensorProto::INT64 : onnx::TensorProto::FLOAT);
  type.mutable_shape()->add_dim()->set_dim_param("N");
  for (const std::int64_t extent : shape) type.mutable_shape()->add_dim()->set_dim_value(extent);
}

/// Values of a graph have one name each.
void check_names(const onnx::GraphProto& graph) {
  std::set<std::string> names = {"input", "output"};
  const auto add = [&](const std::string& name) {
    if (names.insert(name).second) return;
    throw ConfigError("export", "two values of the ONNX graph are called '" + name +
                                    "': give the layer of that name another one");
  };
  for (const auto& tensor : graph.initializer()) add(tensor.name());
  for (const auto& node : graph.node())
    for (const auto& made : node.output()) add(made);
}

/// As JSON, which other programs read without a rule of ours.
template <typename Value>
void add_fact(onnx::ModelProto& proto, const std::string& key, const std::vector<Value>& values) {
  if (values.empty()) return;
  onnx::StringStringEntryProto& entry = *proto.add_metadata_props();
  entry.set_key("millrace." + key);
  // A class may be called by any bytes that a folder's name has.
  entry.set_value(
      nlohmann::json(values).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

void write(LayerExport& layer) {
  for (const auto* all : {&writers(), &sequence_writers()}) {
    const auto found = all->find(layer.facts.type);
    if (found != all->end()) return found->second(layer);
  }
  layer.refuse("its module");
}

void write_graph(const Model& model, const std::vector<LayerFacts>& facts,
                 onnx::GraphProto& graph) {
  graph.set_name(model.name);
  describe(*graph.add_input(), "input", model.sample_shape, model.vocabulary > 0);
  GraphWriter writer(graph);
  for (std::size_t l = 0; l < facts.size(); ++l) {
    if (facts[l].training_only) continue;
    LayerExport layer{writer, *model.layers[l].module.ptr(), facts[l], {}};
    for (const int from : facts[l].producers)
      layer.inputs.push_back(from == kSample ? "input"
                                             : facts[static_cast<std::size_t>(from)].name);
    write(layer);
  }
  check_names(graph);
  graph.mutable_node(graph.node_size() - 1)->set_output(0, "output");
  describe(*graph.add_output(), "output", facts.back().output_shape);
}

}  // namespace

void export_onnx(const Model& model, const std::string& file, const OnnxFacts& facts) {
  onnx::ModelProto proto;
  proto.set_ir_version(kIrVersion);
  proto.set_producer_name("millrace");
  onnx::OperatorSetIdProto& opset = *proto.add_opset_import();
  opset.set_domain("");
  const std::vector<LayerFacts> layers = check_model(model);
  const bool normalises = std::any_of(layers.begin(), layers.end(), [](const LayerFacts& layer) {
    return layer.type == "layer_norm";
  });
  opset.set_version(normalises ? kLayerNormOpset : kOpset);
  write_graph(model, layers, *proto.mutable_graph());
  add_fact(proto, "classes", facts.classes);
  add_fact(proto, "mean", facts.mean);
  add_fact(proto, "deviation", facts.deviation);
  write_file_atomically(
      file, onnx_import::bytes_of(proto, "export", file, "name it .safetensors or .pt"), "export");
}

}  // namespace millrace
