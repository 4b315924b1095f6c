#pragma once
// The files of an ONNX network: the model's own, and those beside it that hold its tensors' values
// (external data). Errors are ConfigErrors (tag "onnx") that name the files and the remedy.

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace millrace::onnx_import {

[[noreturn]] void refuse(const std::string& file, const std::string& problem);

/// A regular file, open: what is read is what it held when it was opened, though another may bear
/// its name by now.
class InputFile {
 public:
  /// A pipe's writer is not waited for. Throws where it cannot be opened or is no regular file.
  explicit InputFile(const std::string& path);
  /// Of a descriptor of a regular file, which is closed with this.
  InputFile(int descriptor, std::string path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  std::int64_t size() const { return size_; }
  /// For one reader at a time, at the file's begin.
  int rewound() const;
  /// Throws where the file has become shorter than offset + bytes.
  void read(std::int64_t offset, void* to, std::int64_t bytes) const;

 private:
  std::string path_;
  int descriptor_;
  std::int64_t size_ = 0;
};

/// Where values lie; within the file.
struct DataRange {
  std::shared_ptr<const InputFile> file;
  std::int64_t offset = 0, bytes = 0;
};

inline bool is_external(const onnx::TensorProto& tensor) {
  return tensor.data_location() == onnx::TensorProto::EXTERNAL;
}

/// The files of external data, each opened once. A location is a path below the model's folder: an
/// absolute one, one with "..", and symbolic links on the way (every part is opened by itself,
/// O_NOFOLLOW) are refused, so that a model shows nothing of what lies elsewhere.
class DataFiles {
 public:
  /// Of the model in this file; its path as it was given, links in it are the user's own.
  explicit DataFiles(std::string model) : model_(std::move(model)) {}

  /// Of an external tensor. Without a length the values reach to the file's end. Throws where the
  /// location is none of those above, the file is missing or no regular one, or the range is not
  /// within it.
  DataRange range_of(const onnx::TensorProto& tensor);

 private:
  std::shared_ptr<const InputFile> open(const std::string& location,
                                        const onnx::TensorProto& tensor);

  std::string model_;
  std::map<std::string, std::shared_ptr<const InputFile>> open_;  ///< by location
};

/// The bytes of a network's file. Throws ConfigError of this tag where protobuf writes none, above
/// 2 GiB.
std::string bytes_of(const onnx::ModelProto& network, const std::string& tag,
                     const std::string& file, const std::string& remedy);

/// Tensors that the import reads: initializers and those of Constant nodes.
void for_each_tensor(onnx::GraphProto& graph, const std::function<void(onnx::TensorProto&)>& visit);

}  // namespace millrace::onnx_import
