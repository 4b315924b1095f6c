// Constants of graph_reader.hpp: the tensors of the file and what is made of them.

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "models/onnx/folding.hpp"

namespace millrace::onnx_import {
namespace {

constexpr int kDeepest = 64;  // nodes that compute a constant one after another

/// One more for the scope's life, however that ends.
class Level {
 public:
  explicit Level(int& count) : count_(count) { ++count_; }
  ~Level() { --count_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

 private:
  int& count_;
};

/// Checked before anything of that size is allocated.
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

/// Where a tensor's values are: in the file itself, as bytes or as numbers, or in another.
struct Values {
  const void* here = nullptr;
  DataRange there;
  std::int64_t bytes = 0;
};

template <typename Value, typename Field>
Values values_of(const onnx::TensorProto& proto, const Field& field, DataFiles& files) {
  if (is_external(proto)) {
    const DataRange range = files.range_of(proto);
    return {nullptr, range, range.bytes};
  }
  if (proto.has_raw_data())
    return {proto.raw_data().data(), {}, static_cast<std::int64_t>(proto.raw_data().size())};
  return {field.data(), {}, static_cast<std::int64_t>(field.size() * sizeof(Value))};
}

template <typename Value, typename Field>
torch::Tensor filled(const onnx::TensorProto& proto, const Field& field, torch::Dtype type,
                     const OnnxFile& file) {
  constexpr auto kSize = static_cast<std::int64_t>(sizeof(Value));
  const std::int64_t count = elements(proto, file.path);
  const Values values = values_of<Value>(proto, field, *file.data);
  if (values.bytes != count * kSize)
    refuse(file.path,
           fmt::format("tensor '{}' has {} values{}, its shape needs {}: the file is damaged",
                       proto.name(), values.bytes / kSize,
                       values.there.file ? " in " + values.there.file->path() : "", count));
  const std::vector<std::int64_t> shape(proto.dims().begin(), proto.dims().end());
  torch::Tensor tensor = torch::empty(shape, type);
  if (count == 0) return tensor;
  if (values.there.file)
    values.there.file->read(values.there.offset, tensor.data_ptr(), values.bytes);
  else
    std::memcpy(tensor.data_ptr(), values.here, static_cast<std::size_t>(values.bytes));
  return tensor;
}

/// Of a Constant node that holds numbers instead of a tensor.
torch::Tensor numbers_of(const NodeReader& node) {
  for (const auto& attribute : node.proto().attribute()) {
    if (attribute.name() == "value_int") return torch::tensor(attribute.i(), torch::kLong);
    if (attribute.name() == "value_float") return torch::tensor(attribute.f(), torch::kFloat);
    if (attribute.name() == "value_ints")
      return torch::tensor(node.integers("value_ints", {}), torch::kLong);
    if (attribute.name() == "value_floats")
      return torch::tensor(
          std::vector<float>(attribute.floats().begin(), attribute.floats().end()));
  }
  node.refuse("is no tensor: export it with torch.onnx.export");
}

/// Whether a Transpose leaves a matrix as it is.
bool keeps_order(const onnx::NodeProto& node) {
  for (const auto& attribute : node.attribute())
    if (attribute.name() == "perm" && attribute.ints_size() == 2) return attribute.ints(0) == 0;
  return false;
}

}  // namespace

torch::Tensor tensor_of(const onnx::TensorProto& proto, const OnnxFile& file) {
  const bool bytes = proto.has_raw_data() || is_external(proto);
  if (proto.data_type() == onnx::TensorProto::FLOAT)
    return filled<float>(proto, proto.float_data(), torch::kFloat, file);
  if (proto.data_type() == onnx::TensorProto::INT64)
    return filled<std::int64_t>(proto, proto.int64_data(), torch::kLong, file);
  if (proto.data_type() == onnx::TensorProto::BOOL && bytes)
    return filled<std::uint8_t>(proto, proto.raw_data(), torch::kByte, file).to(torch::kBool);
  if (proto.data_type() == onnx::TensorProto::BOOL)
    return filled<std::int32_t>(proto, proto.int32_data(), torch::kInt, file).to(torch::kBool);
  refuse(file.path, fmt::format("tensor '{}' is {}, FLOAT is trained: export a float32 model",
                                proto.name(), onnx::TensorProto::DataType_Name(proto.data_type())));
}

Constants::Constants(const OnnxFile& file) : file_(file) {
  for (const auto& tensor : file.proto.graph().initializer())
    if (!tensor.name().empty()) entries_[tensor.name()].tensor = &tensor;
  for (const auto& node : file.proto.graph().node())
    if (node.output_size() == 1 && is_onnx(node)) add(node);
}

/// Where the node makes one of others, or of nothing. A name keeps its first maker, so that none is
/// made of itself.
void Constants::add(const onnx::NodeProto& node) {
  const std::string& type = node.op_type();
  if (type == "Constant") {
    const bool tensor = node.attribute_size() == 1 && node.attribute(0).has_t();
    Entry entry;
    if (tensor) entry.tensor = &node.attribute(0).t();
    if (!tensor) entry.node = &node;
    entries_.try_emplace(node.output(0), entry);
  } else if (type == "Identity" || type == "Transpose") {
    if (node.input_size() == 1 && contains(node.input(0))) add_copy(node);
  } else if (is_folded(node, *this)) {
    add_computed(node);
  }
}

void Constants::add_copy(const onnx::NodeProto& node) {
  Entry entry = entries_.at(node.input(0));
  if (entry.of.empty()) entry = {nullptr, node.input(0), false, nullptr, entry.depth};
  if (node.op_type() == "Transpose" && !keeps_order(node)) entry.transposed = !entry.transposed;
  entries_.try_emplace(node.output(0), entry);
}

/// Where that is deeper than a shape ever is, the node stays an operator that is not trained.
void Constants::add_computed(const onnx::NodeProto& node) {
  Entry entry;
  entry.node = &node;
  for (const std::string& input : node.input())
    if (contains(input)) entry.depth = std::max(entry.depth, entries_.at(input).depth + 1);
  if (entry.depth <= kDeepest) entries_.try_emplace(node.output(0), entry);
}

torch::Tensor Constants::value(const std::string& name) const {
  const Entry& entry = entries_.at(name);
  if (entry.tensor != nullptr) return tensor_of(*entry.tensor, file_);
  if (entry.node != nullptr) return computed(name, *entry.node);
  const torch::Tensor made = value(entry.of);
  if (!entry.transposed) return made;
  if (made.dim() != 2)
    refuse(file_.path,
           fmt::format("'{}' turns a tensor of {} dimensions, 2 are read", name, made.dim()));
  return made.t();
}

torch::Tensor Constants::computed(const std::string& name, const onnx::NodeProto& node) const {
  const auto found = computed_.find(name);
  if (found != computed_.end()) return found->second;
  const NodeReader reader(node, *this, file_.path);
  // Shape alone may read what a later node makes, even of what it makes itself.
  if (under_way_ > kDeepest)
    reader.refuse(
        fmt::format("stands behind {} constants that are computed one of another, or "
                    "reads what it makes: export it again",
                    under_way_));
  const Level level(under_way_);
  return computed_[name] = node.op_type() == "Constant" ? numbers_of(reader) : fold(reader);
}

std::vector<std::int64_t> Constants::sizes(const std::string& name) const {
  const Entry& entry = entries_.at(name);
  if (entry.tensor == nullptr) return value(name).sizes().vec();
  elements(*entry.tensor, file_.path);
  return {entry.tensor->dims().begin(), entry.tensor->dims().end()};
}

std::string Constants::origin(const std::string& name) const {
  const Entry& entry = entries_.at(name);
  if (!entry.of.empty()) return origin(entry.of);
  // A shape has no numbers of what it is the shape of, which a later node may make.
  const bool made =
      entry.node != nullptr && entry.node->input_size() > 0 && entry.node->op_type() != "Shape";
  return made && contains(entry.node->input(0)) ? origin(entry.node->input(0)) : name;
}

bool Constants::is_computed(const std::string& name) const {
  const Entry& entry = entries_.at(name);
  return entry.of.empty() ? entry.node != nullptr : is_computed(entry.of);
}

}  // namespace millrace::onnx_import
