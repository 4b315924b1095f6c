#include "models/onnx/graph_reader.hpp"

#include <fmt/format.h>

#include <cstring>
#include <limits>

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
  if (proto.data_type() == onnx::TensorProto::BOOL)
    return filled<std::int32_t>(proto, proto.int32_data(), torch::kInt, file).to(torch::kBool);
  refuse(file, fmt::format("tensor '{}' is {}, FLOAT is trained: export a float32 model",
                           proto.name(), onnx::TensorProto::DataType_Name(proto.data_type())));
}

}  // namespace

void refuse(const std::string& file, const std::string& problem) {
  throw ConfigError("onnx", file + ": " + problem);
}

OnnxFile read_onnx(const std::string& path) {
  OnnxFile file{path, {}, 0};
  if (!file.proto.ParseFromString(read_file(path, "onnx")) || file.proto.graph().node_size() == 0)
    refuse(path, "is no ONNX network: give a file of torch.onnx.export");
  file.opset = opset_of(file.proto, path);
  if (file.opset < kOldest || file.opset > kNewest)
    refuse(path, fmt::format("is of opset {}, {} to {} are read: export it with opset_version=17 "
                             "(and external_data=False)",
                             file.opset, kOldest, kNewest));
  return file;
}

Constants::Constants(const OnnxFile& file) : file_(file.path) {
  for (const auto& tensor : file.proto.graph().initializer())
    if (!tensor.name().empty()) entries_[tensor.name()] = {&tensor, "", false};
  for (const auto& node : file.proto.graph().node())
    if (node.output_size() == 1) add(node);
}

/// Where the node makes one of others, or of nothing.
void Constants::add(const onnx::NodeProto& node) {
  const std::string& name = node.output(0);
  if (node.op_type() == "Constant") {
    const bool tensor = node.attribute_size() == 1 && node.attribute(0).has_t();
    entries_[name] = {tensor ? &node.attribute(0).t() : nullptr, "", false};
    return;
  }
  const bool transposes = node.op_type() == "Transpose";
  if (node.input_size() != 1 || !contains(node.input(0))) return;
  if (transposes || node.op_type() == "Identity")
    entries_[name] = {nullptr, node.input(0), transposes};
}

torch::Tensor Constants::value(const std::string& name) const {
  const Entry& entry = entries_.at(name);
  if (!entry.of.empty()) {
    const torch::Tensor made = value(entry.of);
    if (!entry.transposed) return made;
    if (made.dim() != 2)
      refuse(file_,
             fmt::format("'{}' turns a tensor of {} dimensions, 2 are read", name, made.dim()));
    return made.t();
  }
  if (entry.tensor == nullptr)
    refuse(file_,
           fmt::format("constant '{}' is no tensor: export it with torch.onnx.export", name));
  return tensor_of(*entry.tensor, file_);
}

std::string Constants::origin(const std::string& name) const {
  const Entry& entry = entries_.at(name);
  return entry.of.empty() ? name : origin(entry.of);
}

const onnx::ValueInfoProto& only_input(const OnnxFile& file) {
  const Constants constants(file);
  const onnx::ValueInfoProto* found = nullptr;
  for (const auto& input : file.proto.graph().input()) {
    if (constants.contains(input.name())) continue;
    if (found != nullptr)
      refuse(file.path, fmt::format("has the inputs '{}' and '{}', one is trained: export a "
                                    "network of one input",
                                    found->name(), input.name()));
    found = &input;
  }
  if (found == nullptr) refuse(file.path, "has no input: export it with torch.onnx.export");
  return *found;
}

std::vector<std::int64_t> sample_shape_of(const OnnxFile& file) {
  constexpr std::int64_t kMost = std::int64_t{1} << 28;  // numbers of a sample
  const onnx::ValueInfoProto& input = only_input(file);
  std::vector<std::int64_t> shape;
  std::int64_t numbers = 1;
  const auto& dims = input.type().tensor_type().shape().dim();
  for (int i = 1; i < dims.size(); ++i) {
    const std::int64_t extent = dims[i].dim_value();
    if (extent < 1)
      refuse(file.path, fmt::format("extent {} of the input '{}' is open: export it with "
                                    "dynamic_axes for the batch alone",
                                    i, input.name()));
    if (extent > kMost / numbers)
      refuse(file.path, fmt::format("a sample of the input '{}' has more than {} numbers: is the "
                                    "batch its first extent?",
                                    input.name(), kMost));
    numbers *= extent;
    shape.push_back(extent);
  }
  if (shape.empty())
    refuse(file.path, fmt::format("the input '{}' has no extent behind the batch: export it with "
                                  "the shape of its input",
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
  if (weight_name(i).empty()) return std::nullopt;
  return constants_.value(node_.input(i));
}

std::optional<double> NodeReader::constant_number(int i) const {
  const auto given = constant(i);
  if (!given) return std::nullopt;
  if (given->numel() != 1)
    refuse(fmt::format("has {} numbers as input {}, one is read", given->numel(), i));
  return given->to(torch::kDouble).item<double>();
}

torch::Tensor NodeReader::weight(int i, const std::string& what) const {
  const auto tensor = constant(i);
  if (!tensor || tensor->scalar_type() != torch::kFloat || tensor->numel() == 0)
    refuse(fmt::format("has no constant {}", what));
  return *tensor;
}

std::string NodeReader::weight_name(int i) const {
  if (i >= node_.input_size() || !constants_.contains(node_.input(i))) return "";
  return constants_.origin(node_.input(i));
}

std::vector<std::string> NodeReader::values() const {
  std::vector<std::string> result;
  for (const std::string& input : node_.input())
    if (!input.empty() && !constants_.contains(input)) result.push_back(input);
  return result;
}

void NodeReader::require_values() const {
  if (static_cast<int>(values().size()) != node_.input_size())
    refuse("reads a constant, values alone are trained here");
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
