#include "models/onnx/files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <utility>

#include "millrace/errors.hpp"

namespace millrace::onnx_import {
namespace {

namespace fs = std::filesystem;

// O_NONBLOCK: a pipe is opened at once, and then refused.
constexpr int kRead = O_RDONLY | O_CLOEXEC | O_NONBLOCK;

/// Closes what is no regular file, and says what it is; nullptr where it is one.
const char* close_other(int descriptor) {
  struct stat facts = {};
  if (::fstat(descriptor, &facts) == 0 && S_ISREG(facts.st_mode)) return nullptr;
  ::close(descriptor);
  return S_ISDIR(facts.st_mode) ? "a folder" : "a pipe or a device";
}

int open_named(const std::string& path) {
  const int descriptor = ::open(path.c_str(), kRead);
  if (descriptor < 0)
    throw ConfigError("onnx", fmt::format("cannot read {}: {}: check the name and the permissions",
                                          path, std::strerror(errno)));
  if (const char* other = close_other(descriptor))
    throw ConfigError(
        "onnx",
        fmt::format("{} is {}, a file is needed: give one of torch.onnx.export", path, other));
  return descriptor;
}

/// As all that the import has to say of a tensor's location.
[[noreturn]] void refuse_data(const std::string& model, const onnx::TensorProto& tensor,
                              const std::string& problem) {
  refuse(model, fmt::format("the values of '{}' {}: keep the model and its data as they were "
                            "exported, side by side, or export with external_data=False",
                            tensor.name(), problem));
}

/// A path below the model's folder, by its text.
bool is_below(const fs::path& location) {
  if (location.empty() || location.is_absolute() || !location.has_filename()) return false;
  for (const fs::path& part : location)
    if (part == ".." || part.native().find('\0') != std::string::npos) return false;
  return true;
}

/// Part by part, so that no link leads elsewhere; errno says why it is negative.
int open_below(const fs::path& folder, const fs::path& location) {
  int at = ::open(folder.empty() ? "." : folder.c_str(), kRead | O_DIRECTORY);
  for (const fs::path& part : location) {
    if (at < 0) return at;
    const int next = ::openat(at, part.c_str(), kRead | O_NOFOLLOW);
    const int reason = errno;
    ::close(at);
    errno = reason;
    at = next;
  }
  return at;
}

/// What the tensor says of its data under that key; "" where it does not.
std::string entry(const onnx::TensorProto& tensor, const std::string& key) {
  for (const auto& pair : tensor.external_data())
    if (pair.key() == key) return pair.value();
  return "";
}

/// Bytes, from 0 on.
std::optional<std::int64_t> number(const std::string& text) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < 0) return std::nullopt;
  return value;
}

}  // namespace

void refuse(const std::string& file, const std::string& problem) {
  throw ConfigError("onnx", file + ": " + problem);
}

InputFile::InputFile(const std::string& path) : InputFile(open_named(path), path) {}

InputFile::InputFile(int descriptor, std::string path)
    : path_(std::move(path)), descriptor_(descriptor), size_(::lseek(descriptor, 0, SEEK_END)) {}

InputFile::~InputFile() { ::close(descriptor_); }

int InputFile::rewound() const {
  ::lseek(descriptor_, 0, SEEK_SET);
  return descriptor_;
}

void InputFile::read(std::int64_t offset, void* to, std::int64_t bytes) const {
  char* next = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor_, next, static_cast<std::size_t>(bytes), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse(path_, fmt::format("cannot be read: {}: copy it anew", strerror(errno)));
    if (got == 0) refuse(path_, "has become shorter while it was read: export it again");
    next += got;
    offset += got;
    bytes -= got;
  }
}

std::shared_ptr<const InputFile> DataFiles::open(const std::string& location,
                                                 const onnx::TensorProto& tensor) {
  const auto found = open_.find(location);
  if (found != open_.end()) return found->second;
  if (!is_below(location))
    refuse_data(model_, tensor,
                fmt::format("are in '{}', which is no path below the model's folder", location));
  const fs::path folder = fs::path(model_).parent_path();
  const std::string path = (folder / location).string();
  const int descriptor = open_below(folder, location);
  if (descriptor < 0) {
    const char* why = errno == ELOOP ? "a symbolic link, which is not followed" : strerror(errno);
    refuse_data(model_, tensor, fmt::format("are in {}, which cannot be read ({})", path, why));
  }
  if (const char* other = close_other(descriptor))
    refuse_data(model_, tensor, fmt::format("are in {}, which is {}", path, other));
  return open_[location] = std::make_shared<const InputFile>(descriptor, path);
}

DataRange DataFiles::range_of(const onnx::TensorProto& tensor) {
  DataRange range{open(entry(tensor, "location"), tensor)};
  const std::string begin = entry(tensor, "offset"), length = entry(tensor, "length");
  const auto offset = begin.empty() ? 0 : number(begin);
  if (!offset || *offset > range.file->size())
    refuse_data(model_, tensor,
                fmt::format("begin at byte '{}' of {}, which has {}", begin, range.file->path(),
                            range.file->size()));
  const std::int64_t rest = range.file->size() - *offset;
  const auto bytes = length.empty() ? rest : number(length);
  if (!bytes || *bytes > rest)
    refuse_data(model_, tensor,
                fmt::format("are '{}' bytes from byte {} of {}, which has {}", length, *offset,
                            range.file->path(), range.file->size()));
  range.offset = *offset;
  range.bytes = *bytes;
  return range;
}

std::string bytes_of(const onnx::ModelProto& network, const std::string& tag,
                     const std::string& file, const std::string& remedy) {
  constexpr std::size_t kMost = std::numeric_limits<int>::max();
  const std::size_t bytes = network.ByteSizeLong();
  if (bytes > kMost)
    throw ConfigError(tag, fmt::format("{} would have {} bytes, protobuf writes {} at most: {}",
                                       file, bytes, kMost, remedy));
  return network.SerializeAsString();
}

void for_each_tensor(onnx::GraphProto& graph,
                     const std::function<void(onnx::TensorProto&)>& visit) {
  for (auto& tensor : *graph.mutable_initializer()) visit(tensor);
  for (auto& node : *graph.mutable_node()) {
    if (node.op_type() != "Constant") continue;
    for (auto& attribute : *node.mutable_attribute())
      if (attribute.has_t()) visit(*attribute.mutable_t());
  }
}

}  // namespace millrace::onnx_import
