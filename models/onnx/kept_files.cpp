#include "models/onnx/kept_files.hpp"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <vector>

#include "framework/base/file.hpp"
#include "models/onnx/graph_reader.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using onnx_import::DataRange;
using onnx_import::InputFile;
using onnx_import::is_external;

constexpr std::int64_t kChunkBytes = 1 << 20;

void append(const InputFile& from, std::int64_t offset, std::int64_t bytes, AtomicFile& to) {
  std::vector<char> chunk(static_cast<std::size_t>(std::min(bytes, kChunkBytes)));
  while (bytes > 0) {
    const std::int64_t part = std::min(bytes, kChunkBytes);
    from.read(offset, chunk.data(), part);
    to.write(chunk.data(), static_cast<std::size_t>(part));
    offset += part;
    bytes -= part;
  }
}

/// Says that the tensor's values lie there.
void relocate(onnx::TensorProto& tensor, const std::string& location, std::int64_t offset,
              std::int64_t bytes) {
  tensor.clear_external_data();
  const auto add = [&](const char* key, const std::string& value) {
    onnx::StringStringEntryProto& entry = *tensor.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  };
  add("location", location);
  add("offset", std::to_string(offset));
  add("length", std::to_string(bytes));
}

/// What nodes read, those inside of others (the branches of an If), too.
void add_read(const onnx::GraphProto& graph, std::set<std::string>& names) {
  for (const auto& node : graph.node()) {
    names.insert(node.input().begin(), node.input().end());
    for (const auto& attribute : node.attribute()) {
      if (attribute.has_g()) add_read(attribute.g(), names);
      for (const auto& inner : attribute.graphs()) add_read(inner, names);
    }
  }
  for (const auto& output : graph.output()) names.insert(output.name());
}

/// The import asks for no data of initializers that nobody reads, which may be missing. Before IR
/// version 4 they are inputs, too.
void drop_unread(onnx::GraphProto& graph) {
  std::set<std::string> read, dropped;
  add_read(graph, read);
  const auto drop = [](auto& fields, const auto& is_dropped) {
    fields.erase(std::remove_if(fields.begin(), fields.end(), is_dropped), fields.end());
  };
  drop(*graph.mutable_initializer(), [&](const onnx::TensorProto& tensor) {
    const bool unread = !read.contains(tensor.name());
    if (unread) dropped.insert(tensor.name());
    return unread;
  });
  drop(*graph.mutable_input(),
       [&](const onnx::ValueInfoProto& input) { return dropped.contains(input.name()); });
}

}  // namespace

struct OnnxFiles::Opened {
  explicit Opened(const std::string& path) : file(path) {}
  InputFile file;
  onnx::ModelProto network;     ///< without values; empty where the file is all
  std::vector<DataRange> data;  ///< of its external tensors in order
};

OnnxFiles::OnnxFiles(const std::string& file) : opened_(std::make_unique<Opened>(file)) {
  onnx_import::OnnxFile read = onnx_import::read_onnx(opened_->file);
  drop_unread(*read.proto.mutable_graph());
  onnx_import::for_each_tensor(*read.proto.mutable_graph(), [&](onnx::TensorProto& tensor) {
    if (is_external(tensor)) opened_->data.push_back(read.data->range_of(tensor));
  });
  if (!opened_->data.empty()) opened_->network = std::move(read.proto);
}

OnnxFiles::~OnnxFiles() = default;
OnnxFiles::OnnxFiles(OnnxFiles&&) noexcept = default;
OnnxFiles& OnnxFiles::operator=(OnnxFiles&&) noexcept = default;

void OnnxFiles::write(const std::string& file) const {
  std::error_code none;
  if (fs::equivalent(opened_->file.path(), file, none)) return;
  if (opened_->data.empty()) {
    AtomicFile whole(file, "onnx");
    append(opened_->file, 0, opened_->file.size(), whole);
    return whole.commit();
  }
  onnx::ModelProto network = opened_->network;
  AtomicFile data(file + ".data", "onnx");
  auto range = opened_->data.begin();
  std::map<std::tuple<const InputFile*, std::int64_t, std::int64_t>, std::int64_t> written;
  std::int64_t offset = 0;
  onnx_import::for_each_tensor(*network.mutable_graph(), [&](onnx::TensorProto& tensor) {
    if (!is_external(tensor)) return;
    const DataRange& from = *range++;
    const auto [place, is_new] =
        written.try_emplace({&*from.file, from.offset, from.bytes}, offset);
    relocate(tensor, fs::path(file + ".data").filename().string(), place->second, from.bytes);
    if (!is_new) return;  // tensors may share their values
    append(*from.file, from.offset, from.bytes, data);
    offset += from.bytes;
  });
  const std::string bytes = onnx_import::bytes_of(
      network, "onnx", file, "export it with all of its data beside it (external_data=True)");
  data.commit();
  write_file_atomically(file, bytes, "onnx");
}

}  // namespace millrace
