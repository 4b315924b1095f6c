#pragma once
// Whole files: read, and written so that they are complete or absent.

#include <filesystem>
#include <string>
#include <string_view>

namespace millrace {

/// The whole file. Throws ConfigError (the given tag) where it cannot be read.
std::string read_file(const std::filesystem::path& path, const std::string& tag);

/// Temporary in the same folder, fsync, rename, fsync of the folder. Throws ResourceError (the
/// given tag) that names the path and the system's reason; an older file of that name then stays.
void write_file_atomically(const std::filesystem::path& path, std::string_view content,
                           const std::string& tag);

/// The same without waiting for the disk: readers see the old file or the new one, a machine that
/// loses its power may have neither.
void replace_file(const std::filesystem::path& path, std::string_view content,
                  const std::string& tag);

/// Over a file that is there, in its place on the disk: for a last word where a new file finds no
/// room. A reader may see a part of it. False where that fails, too.
bool overwrite_file(const std::filesystem::path& path, std::string_view content);

/// A file that appears under its name only when commit() or replace() has run; else it is
/// removed.
class AtomicFile {
 public:
  AtomicFile(std::filesystem::path path, std::string tag);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Throws ResourceError (disk full, …).
  void write(const void* data, std::size_t bytes);
  /// Over what was written first. Throws the same.
  void rewrite_beginning(std::string_view data);
  /// fsync, rename, fsync of the folder.
  void commit();
  /// rename alone.
  void replace();

 private:
  [[noreturn]] void fail(const std::string& what) const;

  std::filesystem::path path_, temporary_;
  std::string tag_;
  int descriptor_ = -1;
  bool renamed_ = false;
};

}  // namespace millrace
