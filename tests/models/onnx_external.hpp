#pragma once
// Files with external data, as torch.onnx.export writes them.

#include <onnx/onnx_pb.h>

#include <stdexcept>
#include <string>

#include "framework/base/file.hpp"

namespace millrace::testing {

/// Says where the tensor's values are; what is "" is left out.
inline void set_external(onnx::TensorProto& tensor, const std::string& location,
                         const std::string& offset, const std::string& length) {
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  tensor.clear_external_data();
  const auto add = [&](const char* key, const std::string& value) {
    if (value.empty()) return;
    auto& entry = *tensor.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  };
  add("location", location);
  add("offset", offset);
  add("length", length);
}

/// What millrace exported as `file` is a network with its values in `file`.data from now on.
inline void move_values_out(const std::string& file) {
  onnx::ModelProto proto;
  if (!proto.ParseFromString(read_file(file, "test"))) throw std::runtime_error(file);
  std::string data;
  for (auto& tensor : *proto.mutable_graph()->mutable_initializer()) {
    if (!tensor.has_raw_data()) continue;
    const std::string values = tensor.raw_data();
    set_external(tensor, file.substr(file.rfind('/') + 1) + ".data", std::to_string(data.size()),
                 std::to_string(values.size()));
    tensor.clear_raw_data();
    data += values;
  }
  write_file_atomically(file + ".data", data, "test");
  write_file_atomically(file, proto.SerializeAsString(), "test");
}

}  // namespace millrace::testing
