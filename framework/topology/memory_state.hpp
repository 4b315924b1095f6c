#pragma once
// How near the process is to the end of its memory.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace millrace {

/// Of the control group, or the machine, that has the smallest share left.
struct MemoryState {
  std::int64_t limit_bytes = 0;
  std::int64_t left_bytes = 0;  ///< with the file cache, which the kernel drops before it kills
  /// How often the group has come to its limit, and what the kernel has killed for it, since it was
  /// made; 0 for the machine.
  std::int64_t hits = 0;
  /// Share of the last ten seconds in which all processes waited for memory (PSI, full avg10); 0
  /// where the kernel does not say.
  double stalled_percent = 0;
  std::string group;  ///< its folder; empty for the machine

  double left_share() const {
    return static_cast<double>(left_bytes) / static_cast<double>(limit_bytes);
  }
};

/// From the groups' memory.max, memory.high, memory.events and memory.pressure (version 1:
/// memory.limit_in_bytes, memory.failcnt), /proc/meminfo and /proc/pressure/memory below `root`.
/// Empty where nothing is known.
std::optional<MemoryState> read_memory_state(const std::filesystem::path& root = "/");

}  // namespace millrace
