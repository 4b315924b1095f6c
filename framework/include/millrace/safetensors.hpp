#pragma once
// The safetensors file format (8-byte length, JSON header, raw data): weights, exports,
// checkpoints.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace millrace {

struct TensorView {
  std::string name;
  std::string dtype = "F32";  ///< "F32", "I64", "U8", …
  std::vector<std::int64_t> shape;
  const void* data = nullptr;
  std::int64_t bytes = 0;
};

/// Writes the file so that it is complete or absent. Keys sorted, no date or path inside: the same
/// tensors and metadata give the same bytes. No second copy of the data is made.
/// REQUIRES: names are unique, bytes are those of shape and dtype (else InternalError).
/// Throws ResourceError (disk full, read-only, …); an older file of that name then stays.
void write_safetensors(const std::filesystem::path& path, std::vector<TensorView> tensors,
                       const std::map<std::string, std::string>& metadata);

/// A file that was opened and whose header was checked (lengths, types, offsets without gap or
/// overlap, file size, no key twice). It stays open while a copy lives, so a newer file of the same
/// name does not mix in. Thread-safe once opened.
class SafetensorsFile {
 public:
  struct Entry {
    std::string name, dtype;
    std::vector<std::int64_t> shape;
    std::int64_t begin = 0, bytes = 0;  ///< within the data part
  };

  /// Throws ConfigError (tag "safetensors") naming the file, the place and both values: not this
  /// format, cut short, header larger than 100 MB, offsets that overlap or leave the file.
  static SafetensorsFile open(const std::filesystem::path& path);

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::vector<Entry>& entries() const { return entries_; }  ///< sorted by name
  const Entry* find(const std::string& name) const;
  /// Reads one tensor into `destination`, which holds entry.bytes. Throws ConfigError where the
  /// file has become shorter or cannot be read.
  void read(const Entry& entry, void* destination) const;
  /// The same of `bytes` from byte `offset` of the tensor on.
  void read_part(const Entry& entry, std::int64_t offset, std::int64_t bytes,
                 void* destination) const;

 private:
  std::filesystem::path path_;
  std::shared_ptr<const int> descriptor_;
  std::int64_t data_begin_ = 0;
  std::map<std::string, std::string> metadata_;
  std::vector<Entry> entries_;
};

}  // namespace millrace
