#pragma once
// Image files as bytes, and how long a thread had to wait for them.

#include <cstdint>
#include <string>
#include <vector>

namespace millrace {

/// The whole file. Throws ConfigError (tag "image") naming it where it cannot be read. Thread-safe.
std::vector<std::uint8_t> read_image_file(const std::string& file);

struct DiskWaits {
  std::int64_t count = 0, ns = 0;
};

/// Reads of the calling thread so far that had to wait, as the system did not have the bytes in
/// memory. Nothing is counted on file systems that cannot tell.
DiskWaits disk_waits_of_this_thread();

/// Has the system read the file into memory; waits at most for its entry, not for its contents.
/// Errors show when it is read.
void prefetch_file(const std::string& file);

}  // namespace millrace
