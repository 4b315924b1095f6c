#include "models/onnx/graph_reader.hpp"

#include <fmt/format.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>

#include <limits>

namespace millrace::onnx_import {
namespace {

// Of what is read, from 18 on: AveragePool has got dilations in 19, pooling in 22 only the words
// for what LibTorch does at the padded end; else there are new types of numbers alone.
constexpr int kOldest = 11, kNewest = 25;

std::int64_t opset_of(const onnx::ModelProto& proto, const std::string& file) {
  for (const auto& opset : proto.opset_import()) {
    if (opset.domain().empty() || opset.domain() == "ai.onnx") return opset.version();
  }
  refuse(file, "names no opset of ONNX's own operators: export it with torch.onnx.export");
}

}  // namespace

bool is_onnx(const onnx::NodeProto& node) {
  return node.domain().empty() || node.domain() == "ai.onnx";
}

OnnxFile read_onnx(const std::string& path) { return read_onnx(InputFile(path)); }

OnnxFile read_onnx(const InputFile& file) {
  const std::string& path = file.path();
  if (file.size() > std::numeric_limits<int>::max())
    refuse(path, fmt::format("has {} bytes, protobuf reads 2 GiB: export it with its data in a "
                             "file of their own (external_data=True)",
                             file.size()));
  OnnxFile made{path, {}, 0, std::make_shared<DataFiles>(path)};
  google::protobuf::io::FileInputStream stream(file.rewound());
  if (!made.proto.ParseFromZeroCopyStream(&stream) || made.proto.graph().node_size() == 0)
    refuse(path, "is no ONNX network: give a file of torch.onnx.export");
  made.opset = opset_of(made.proto, path);
  if (made.opset < kOldest || made.opset > kNewest)
    refuse(path, fmt::format("is of opset {}, {} to {} are read: export it with opset_version=20",
                             made.opset, kOldest, kNewest));
  return made;
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
  const auto type = input.type().tensor_type().elem_type();
  const bool ids = type == onnx::TensorProto::INT64;
  if (type != onnx::TensorProto::FLOAT && type != onnx::TensorProto::UNDEFINED && !ids)
    refuse(file.path, fmt::format("the input '{}' is neither float32 nor int64: numbers are read "
                                  "as the one, token ids as the other",
                                  input.name()));
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
  if (ids && shape.size() > 1)
    refuse(file.path, fmt::format("the input '{}' has {} extents behind the batch: token ids are "
                                  "read as [N, positions]",
                                  input.name(), shape.size()));
  return shape;
}

bool reads_ids(const OnnxFile& file) {
  return only_input(file).type().tensor_type().elem_type() == onnx::TensorProto::INT64;
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

std::vector<std::string> NodeReader::texts(const std::string& attribute) const {
  const auto* found = find(attribute);
  if (found == nullptr) return {};
  return {found->strings().begin(), found->strings().end()};
}

std::optional<torch::Tensor> NodeReader::tensor(const std::string& attribute,
                                                const OnnxFile& file) const {
  const auto* found = find(attribute);
  if (found == nullptr || !found->has_t()) return std::nullopt;
  return tensor_of(found->t(), file);
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

std::optional<std::vector<std::int64_t>> NodeReader::sizes(int i) const {
  if (i >= node_.input_size() || !constants_.contains(node_.input(i))) return std::nullopt;
  return constants_.sizes(node_.input(i));
}

bool NodeReader::is_computed(int i) const {
  return !weight_name(i).empty() && constants_.is_computed(node_.input(i));
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
