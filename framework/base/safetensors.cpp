#include "millrace/safetensors.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "framework/base/file.hpp"
#include "framework/base/safetensors_beginning.hpp"
#include "framework/base/safetensors_header.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

constexpr const char* kTag = "safetensors";
constexpr std::int64_t kLengthBytes = 8;
constexpr std::int64_t kLargestHeader = 100'000'000;  // the format's own limit

using LengthField = std::array<unsigned char, kLengthBytes>;

LengthField length_field(std::uint64_t length) {
  LengthField field{};
  for (unsigned char& byte : field) {
    byte = static_cast<unsigned char>(length & 0xff);
    length >>= 8;
  }
  return field;
}

std::uint64_t length_of(const LengthField& field) {
  std::uint64_t length = 0;
  for (auto byte = field.rbegin(); byte != field.rend(); ++byte) length = length << 8 | *byte;
  return length;
}

SafetensorsHeader header_of(const std::vector<TensorView>& tensors,
                            const std::map<std::string, std::string>& metadata) {
  SafetensorsHeader header{metadata, {}};
  std::int64_t begin = 0;
  for (const TensorView& tensor : tensors) {
    MILLRACE_CHECK(safetensors_bytes(tensor.dtype, tensor.shape) == tensor.bytes, kTag,
                   fmt::format("{} has {} bytes, its shape and type say {}", tensor.name,
                               tensor.bytes, safetensors_bytes(tensor.dtype, tensor.shape)));
    MILLRACE_CHECK(tensor.name != "__metadata__", kTag, "the name is the format's own");
    header.entries.push_back({tensor.name, tensor.dtype, tensor.shape, begin, tensor.bytes});
    begin += tensor.bytes;
  }
  std::sort(header.entries.begin(), header.entries.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  const auto twice =
      std::adjacent_find(header.entries.begin(), header.entries.end(),
                         [](const auto& a, const auto& b) { return a.name == b.name; });
  MILLRACE_CHECK(twice == header.entries.end(), kTag, "two tensors have the same name");
  return header;
}

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& problem) {
  throw ConfigError(kTag, fmt::format("{}: {}", path.string(), problem));
}

std::shared_ptr<const int> open_to_read(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    refuse(path, fmt::format("cannot be opened: {}: check the name and the permissions",
                             std::strerror(errno)));
  }
  return {new int(descriptor), [](const int* open) {
            ::close(*open);
            delete open;
          }};
}

std::int64_t size_of(int descriptor, const std::filesystem::path& path) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    refuse(path, "is no regular file: name a .safetensors file");
  }
  return status.st_size;
}

void read_at(int descriptor, std::int64_t offset, std::int64_t bytes, void* destination,
             const std::filesystem::path& path) {
  char* next = static_cast<char*>(destination);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor, next, static_cast<std::size_t>(bytes), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse(path, fmt::format("cannot be read: {}", std::strerror(errno)));
    if (got == 0) refuse(path, fmt::format("ends at byte {}: it was cut short", offset));
    next += got;
    offset += got;
    bytes -= got;
  }
}

std::int64_t header_length(int descriptor, std::int64_t size, const std::filesystem::path& path) {
  if (size < kLengthBytes) {
    refuse(path,
           fmt::format("has {} bytes, no safetensors file is below {}: it was cut short or is "
                       "of another format",
                       size, kLengthBytes));
  }
  LengthField field{};
  read_at(descriptor, 0, kLengthBytes, field.data(), path);
  const std::uint64_t length = length_of(field);
  if (length > static_cast<std::uint64_t>(kLargestHeader)) {
    refuse(path,
           fmt::format("asks for a header of {} bytes, {} are allowed: this is another kind of "
                       "file, or it was damaged",
                       length, kLargestHeader));
  }
  if (length > static_cast<std::uint64_t>(size - kLengthBytes)) {
    refuse(path, fmt::format("asks for a header of {} bytes, {} follow: it was cut short or is of "
                             "another format",
                             length, size - kLengthBytes));
  }
  return static_cast<std::int64_t>(length);
}

}  // namespace

void sort_for_file(std::vector<TensorView>& tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorView& a, const TensorView& b) {
    const auto key = [](const TensorView& tensor) {
      return std::pair(-safetensors_bytes(tensor.dtype, {}), std::string_view(tensor.name));
    };
    return key(a) < key(b);
  });
}

std::string safetensors_beginning(const std::vector<TensorView>& tensors,
                                  const std::map<std::string, std::string>& metadata) {
  const std::string header = safetensors_header_text(header_of(tensors, metadata));
  const LengthField length = length_field(header.size());
  return std::string(length.begin(), length.end()) + header;
}

void write_safetensors(const std::filesystem::path& path, std::vector<TensorView> tensors,
                       const std::map<std::string, std::string>& metadata) {
  sort_for_file(tensors);
  const std::string beginning = safetensors_beginning(tensors, metadata);
  AtomicFile file(path, kTag);
  file.write(beginning.data(), beginning.size());
  for (const TensorView& tensor : tensors)
    file.write(tensor.data, static_cast<std::size_t>(tensor.bytes));
  file.commit();
}

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  SafetensorsFile file;
  file.path_ = path;
  file.descriptor_ = open_to_read(path);
  const std::int64_t size = size_of(*file.descriptor_, path);
  const std::int64_t length = header_length(*file.descriptor_, size, path);
  std::string text(static_cast<std::size_t>(length), '\0');
  read_at(*file.descriptor_, kLengthBytes, length, text.data(), path);
  file.data_begin_ = kLengthBytes + length;
  auto header = parse_safetensors_header(text, size - file.data_begin_, path.string());
  file.metadata_ = std::move(header.metadata);
  file.entries_ = std::move(header.entries);
  return file;
}

const SafetensorsFile::Entry* SafetensorsFile::find(const std::string& name) const {
  const auto found =
      std::lower_bound(entries_.begin(), entries_.end(), name,
                       [](const Entry& entry, const std::string& key) { return entry.name < key; });
  return found != entries_.end() && found->name == name ? &*found : nullptr;
}

void SafetensorsFile::read(const Entry& entry, void* destination) const {
  read_part(entry, 0, entry.bytes, destination);
}

void SafetensorsFile::read_part(const Entry& entry, std::int64_t offset, std::int64_t bytes,
                                void* destination) const {
  MILLRACE_CHECK(offset >= 0 && bytes >= 0 && offset <= entry.bytes - bytes, kTag,
                 "the part leaves the tensor " + entry.name);
  read_at(*descriptor_, data_begin_ + entry.begin + offset, bytes, destination, path_);
}

}  // namespace millrace
