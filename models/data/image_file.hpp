#pragma once
// Image files as bytes, and how long they had to be waited for.

#include <cstdint>
#include <string>
#include <vector>

namespace millrace {

struct FileBytes {
  std::vector<std::uint8_t> bytes;
  std::int64_t wait_ns = 0;  ///< for the disk: what was not in memory yet
};

/// The whole file. Throws ConfigError (tag "image") naming it where it cannot be read. Thread-safe.
FileBytes read_image_file(const std::string& file);

/// Has the system read the file into memory without waiting for it; errors show when it is read.
void prefetch_file(const std::string& file);

}  // namespace millrace
