#pragma once
// Makes a model of an ONNX graph, node by node; operators.cpp and sequence_operators.cpp have what
// each operator becomes, functions.cpp what functions of several nodes do.

#include <torch/nn/modules/linear.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/model.hpp"
#include "models/onnx/evaluation.hpp"
#include "models/onnx/recognition.hpp"

namespace millrace::onnx_import {

constexpr const char* kUnknown =
    "is no operator that is trained here and begins no function that is (causal attention by "
    "1 / sqrt(depth), layer normalisation over the last extent, GELU, an LSTM from 0): `millrace "
    "models` lists networks of those that are";

class Importer {
 public:
  explicit Importer(const OnnxFile& file)
      : file_(file), constants_(file), makers_(makers_in(file.proto.graph())) {}

  Model run();

  // Below: what the operators' functions use.

  /// A layer that reads the node's values and makes its first output.
  template <typename Module>
  void add(const NodeReader& node, const std::string& name, Module module) {
    std::vector<std::string> inputs;
    for (const std::string& value : node.values()) inputs.push_back(producer(node, value));
    constexpr bool kToRows = std::is_same_v<Module, torch::nn::Flatten>;
    if (kToRows || (!inputs.empty() && is_rows(inputs.front()))) rows_.insert(name);
    add_reading(node, name, std::move(module), std::move(inputs));
  }
  template <typename Module>
  void add(const NodeReader& node, Module module) {
    add(node, name_of(node), std::move(module));
  }
  /// One that makes rows of what the last layer made.
  void flatten_last(const NodeReader& node) {
    const std::string name = unused(model_.layers.back().name + ".flatten");
    rows_.insert(name);
    add_reading(node, name, torch::nn::Flatten(), {model_.layers.back().name});
  }
  /// The node makes nothing new.
  void pass(const NodeReader& node) {
    made_[node.proto().output(0)] = producer(node, node.value());
  }

  /// As the file calls the layer's weight `i`, else the node.
  std::string name_of(const NodeReader& node, int weight = -1);
  /// As the file calls the layer's bias, constant input `bias` of the node, where its weight has no
  /// name of a layer: exporters that turn weights call them anew.
  void name_by_bias(const NodeReader& node, int bias, Layer& layer);
  /// The layer that made the node's value, which nobody else reads.
  Layer& own_layer_before(const NodeReader& node);
  /// Whether the node's value has no extent but the batch and one more.
  bool reads_rows(const NodeReader& node) const { return is_rows(producer(node, node.value())); }
  bool reads_convolution(const NodeReader& node) const;
  /// The last layer's rows must come out with so many numbers.
  void expect_width(std::int64_t width) { widths_[model_.layers.back().name] = width; }
  bool is_output(const NodeReader& node) const {
    return node.proto().output(0) == graph().output(0).name();
  }
  std::int64_t opset() const { return file_.opset; }
  /// Whether a sample is of token ids.
  bool reads_ids() const { return reads_ids_; }
  bool is_sample(const std::string& value) const {
    const auto made = made_.find(value);
    return made != made_.end() && made->second.empty();
  }
  void set_vocabulary(std::int64_t vocabulary) { model_.vocabulary = vocabulary; }
  /// Of some samples of a value that a layer makes.
  std::optional<std::vector<std::int64_t>> extents(const std::string& value);
  /// A constant that may depend on extents.
  torch::Tensor computed(const std::string& constant);
  void saw_training() { for_training_ = true; }
  /// One that an exporter for inference would have folded away.
  void saw_normalisation() { keeps_normalisation_ = true; }

 private:
  const onnx::GraphProto& graph() const { return file_.proto.graph(); }
  std::set<std::string> needed_values();
  using Nodes = std::vector<const onnx::NodeProto*>;
  Nodes needed_nodes();
  void read_all(Nodes unread);
  /// All that is read by itself, which leaves `unread`. Returns the first that waits for others.
  const onnx::NodeProto* read_alone(Nodes& unread);
  bool is_part(const NodeReader& node);
  /// The function that begins with the node. False where that is none that is known.
  bool read_function(const onnx::NodeProto& first, Nodes& unread);
  void add_function(Function& function, const Region& region);
  std::vector<std::string> function_inputs(const Function& function, const Region& region);
  std::string join_projections(const Function& function, const Region& region);
  std::vector<std::int64_t> run_extents(const Layer& layer);
  void read(const onnx::NodeProto& proto);
  const std::string& producer(const NodeReader& node, const std::string& value) const;
  bool is_rows(const std::string& layer) const;
  int readers_of(const std::string& layer) const;
  template <typename Module>
  void add_reading(const NodeReader& node, const std::string& name, Module module,
                   std::vector<std::string> inputs) {
    checked_inputs(node, inputs);
    model_.add(name, std::move(module), std::move(inputs));
    made_[node.proto().output(0)] = name;
  }
  void checked_inputs(const NodeReader& node, std::vector<std::string>& inputs) const;
  std::string unused(const std::string& name) const;
  void check_widths(const std::vector<LayerFacts>& layers) const;
  void check_positions(const LayerFacts& last) const;
  void warn() const;
  void warn_of_ties() const;
  void warn_of_inference() const;

  const OnnxFile& file_;
  Constants constants_;
  Makers makers_;
  Model model_;
  std::string sample_;  ///< the value that it is
  bool reads_ids_ = false;
  std::int64_t samples_ = 2;                                  ///< that functions are tried with
  std::map<std::string, std::vector<std::int64_t>> extents_;  ///< of so many, by layer
  std::map<std::string, std::string> made_;                   ///< value -> layer; "": the sample
  std::map<std::string, int> readers_;                        ///< value -> nodes that read it
  std::map<std::string, std::int64_t> widths_;
  std::map<std::string, std::string> owners_;  ///< weights -> the node that trains them
  std::set<std::string> rows_;
  std::set<std::string> named_by_weight_;
  bool for_training_ = false;
  bool keeps_normalisation_ = false;
  std::vector<std::string> folded_;  ///< nodes that have swallowed batch normalisation
};

/// What an operator becomes: a layer, a part of one, nothing, or a refusal.
using Operator = std::function<void(Importer&, const NodeReader&)>;
const std::map<std::string, Operator>& operators();
/// Those of networks that read sequences.
std::map<std::string, Operator> sequence_operators();
/// An embedding of places, where that is what the sum adds to its value.
bool read_places(Importer& to, const NodeReader& node);
/// Whether the node of such a network may be a part of a function, though its operator has one.
bool begins_function(Importer& importer, const NodeReader& node);
/// What is written becomes the module's parameter or statistic.
void set_parameter(const NodeReader& node, torch::Tensor& parameter, const torch::Tensor& value);

}  // namespace millrace::onnx_import
