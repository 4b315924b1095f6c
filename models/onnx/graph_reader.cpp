#include "models/onnx/graph_reader.hpp"

#include <fmt/format.h>

#include <cstring>
#include <functional>
#include <limits>
#include <numeric>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"

namespace millrace::onnx_import {
namespace {

constexpr int kOldest = 11, kNewest = 18;

std::int64_t opset_of(const onnx::ModelProto& proto, const std::string& file) {
  for (const auto& opset : proto.opset_import()) {
    if (opset.domain().empty() || opset.domain() == "ai.onnx") return opset.version();
  }
  refuse(file, "names no opset of ONNX's own operators: export it with torch.onnx.export");
}

std::int64_t elements(const onnx::TensorProto& proto, const std::string& file) {
  std::int64_t count = 1;
  for (const std::int64_t extent : proto.dims()) {
    if (extent < 0 || (extent > 0 && count > std::numeric_limits<std::int64_t>::max() / 8 / extent))
      refuse(file, fmt::format("tensor '{}' has an extent of {}: the file is damaged", proto.name(),
                               extent));
    count *= extent;
  }
  return count;
}

template <typename Value, typename Field>
torch::Tensor filled(const onnx::TensorProto& proto, const Field& field, torch::Dtype type,
                     const std::string& file) {
  const std::int64_t count = elements(proto, file);
  const auto have = proto.has_raw_data()
                        ? static_cast<std::int64_t>(proto.raw_data().size() / sizeof(Value))
                        : static_cast<std::int64_t>(field.size());
  if (have != count)
    refuse(file, fmt::format("tensor '{}' has {} values, its shape needs {}: the file is damaged",
                             proto.name(), have, count));
  const std::vector<std::int64_t> shape(proto.dims().begin(), proto.dims().end());
  torch::Tensor tensor = torch::empty(shape, type);
  if (count == 0) return tensor;
  const void* from = proto.has_raw_data() ? static_cast<const void*>(proto.raw_data().data())
                                          : static_cast<const void*>(field.data());
  std::memcpy(tensor.data_ptr(), from, static_cast<std::size_t>(count) * sizeof(Value));
  return tensor;
}

}  // namespace

void refuse(const std::string& file, const std::string& problem) {
  throw ConfigError("onnx", file + ": " + problem);
}

onnx::ModelProto read_proto(const std::string& file) {
  const std::string bytes = read_file(file, "onnx");
  onnx::ModelProto proto;
  if (!proto.ParseFromString(bytes) || proto.graph().node_size() == 0)
    refuse(file, "is no ONNX network: give a file of torch.onnx.export");
  const std::int64_t opset = opset_of(proto, file);
  if (opset < kOldest || opset > kNewest)
    refuse(file, fmt::format("is of opset {}, {} to {} are read: export it with opset_version={}",
                             opset, kOldest, kNewest, 17));
  return proto;
}

torch::Tensor tensor_of(const onnx::TensorProto& proto, const std::string& file) {
  if (proto.data_location() == onnx::TensorProto::EXTERNAL)
    refuse(file, fmt::format("the values of '{}' are in another file: export with "
                             "external_data=False",
                             proto.name()));
  if (proto.data_type() == onnx::TensorProto::FLOAT)
    return filled<float>(proto, proto.float_data(), torch::kFloat, file);
  if (proto.data_type() == onnx::TensorProto::INT64)
    return filled<std::int64_t>(proto, proto.int64_data(), torch::kLong, file);
  if (proto.data_type() == onnx::TensorProto::BOOL && proto.has_raw_data())
    return filled<bool>(proto, proto.raw_data(), torch::kBool, file);
  refuse(file, fmt::format("tensor '{}' is {}, FLOAT is trained: export a float32 model",
                           proto.name(), onnx::TensorProto::DataType_Name(proto.data_type())));
}

Constants constants_of(const onnx::GraphProto& graph, const std::string& file) {
  Constants constants;
  for (const auto& tensor : graph.initializer()) constants[tensor.name()] = tensor_of(tensor, file);
  for (const auto& node : graph.node()) {
    if (node.op_type() == "Identity" && node.input_size() == 1 && node.output_size() == 1) {
      const auto same = constants.find(node.input(0));
      if (same != constants.end()) constants[node.output(0)] = same->second;
    }
    if (node.op_type() != "Constant") continue;
    const NodeReader reader(node, constants, file);
    if (node.attribute_size() != 1 || !node.attribute(0).has_t() || node.output_size() != 1)
      reader.refuse("is a constant that is no tensor");
    constants[node.output(0)] = tensor_of(node.attribute(0).t(), file);
  }
  return constants;
}

const onnx::ValueInfoProto& only_input(const onnx::GraphProto& graph, const std::string& file) {
  const onnx::ValueInfoProto* found = nullptr;
  for (const auto& input : graph.input()) {
    bool constant = false;
    for (const auto& tensor : graph.initializer()) constant |= tensor.name() == input.name();
    if (constant) continue;
    if (found != nullptr)
      refuse(file, fmt::format("has the inputs '{}' and '{}', one is trained: export a network of "
                               "one input",
                               found->name(), input.name()));
    found = &input;
  }
  if (found == nullptr) refuse(file, "has no input: export it with torch.onnx.export");
  return *found;
}

std::vector<std::int64_t> sample_shape_of(const onnx::ValueInfoProto& input,
                                          const std::string& file) {
  std::vector<std::int64_t> shape;
  const auto& dims = input.type().tensor_type().shape().dim();
  for (int i = 1; i < dims.size(); ++i) {
    if (dims[i].dim_value() < 1)
      refuse(file, fmt::format("extent {} of the input '{}' is open: export it with dynamic_axes "
                               "for the batch alone",
                               i, input.name()));
    shape.push_back(dims[i].dim_value());
  }
  if (shape.empty())
    refuse(file, fmt::format("the input '{}' has no extent behind the batch: export it with the "
                             "shape of its input",
                             input.name()));
  return shape;
}

const onnx::AttributeProto* NodeReader::find(const std::string& attribute) const {
  for (const auto& candidate : node_.attribute()) {
    if (candidate.name() == attribute) return &candidate;
  }
  return nullptr;
}

std::int64_t NodeReader::integer(const std::string& attribute, std::int64_t absent) const {
  const auto* found = find(attribute);
  return found == nullptr ? absent : found->i();
}

double NodeReader::number(const std::string& attribute, double absent) const {
  const auto* found = find(attribute);
  return found == nullptr ? absent : static_cast<double>(found->f());
}

std::string NodeReader::text(const std::string& attribute) const {
  const auto* found = find(attribute);
  return found == nullptr ? "" : found->s();
}

std::vector<std::int64_t> NodeReader::integers(const std::string& attribute,
                                               std::vector<std::int64_t> absent) const {
  const auto* found = find(attribute);
  if (found == nullptr) return absent;
  return {found->ints().begin(), found->ints().end()};
}

void NodeReader::require(const std::string& attribute, std::int64_t value,
                         std::int64_t absent) const {
  const std::int64_t given = integer(attribute, absent);
  if (given != value) refuse(fmt::format("has {} = {}, {} is trained", attribute, given, value));
}

std::optional<torch::Tensor> NodeReader::constant(int i) const {
  if (i >= node_.input_size()) return std::nullopt;
  const auto found = constants_.find(node_.input(i));
  return found == constants_.end() ? std::nullopt : std::optional(found->second);
}

torch::Tensor NodeReader::weight(int i, const std::string& what) const {
  auto tensor = constant(i);
  if (!tensor || tensor->scalar_type() != torch::kFloat)
    refuse(fmt::format("has no constant {}", what));
  return *tensor;
}

std::vector<std::string> NodeReader::values() const {
  std::vector<std::string> result;
  for (const std::string& input : node_.input())
    if (!input.empty() && !constants_.contains(input)) result.push_back(input);
  return result;
}

std::string NodeReader::value() const {
  const auto all = values();
  if (all.empty()) refuse("reads constants alone");
  return all.front();
}

void NodeReader::refuse(const std::string& problem) const {
  const std::string name =
      node_.name().empty() && node_.output_size() > 0 ? node_.output(0) : node_.name();
  onnx_import::refuse(file_, fmt::format("node '{}' ({}) {}", name, node_.op_type(), problem));
}

}  // namespace millrace::onnx_import
