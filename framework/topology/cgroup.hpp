#pragma once
// What the process's control groups (version 1, 2 or both) leave it of the machine.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "framework/topology/system_files.hpp"

namespace millrace {

struct CgroupLimits {
  std::optional<double> cpu_quota;                 ///< CPUs' worth of time: 1.5 is not 2
  std::optional<std::int64_t> memory_limit_bytes;  ///< the tightest on the path
  /// The least that a group on the path has left; file cache that the kernel would drop counts as
  /// left, or a program that has read its data once would seem out of memory.
  std::optional<std::int64_t> memory_left_bytes;
};

/// Folders below the root of the process's own group and of all above it that are mounted here.
/// `controller`: "memory", …, of version 1; "" for version 2.
std::vector<std::filesystem::path> cgroup_folders(const SystemFiles& files,
                                                  const std::string& controller);
/// What a group may hold, and what it holds that the kernel cannot drop: file cache it can.
struct GroupMemory {
  std::int64_t limit_bytes = 0, held_bytes = 0;
};
/// Empty where the group has no limit. Version 2: of memory.max and memory.high, above which the
/// kernel slows a group down, the smaller.
std::optional<GroupMemory> memory_of_group_v1(const SystemFiles& files,
                                              const std::filesystem::path& group);
std::optional<GroupMemory> memory_of_group_v2(const SystemFiles& files,
                                              const std::filesystem::path& group);

/// Reads /proc/self/cgroup, /proc/self/mountinfo and the groups' files below `root`. A group is
/// bound by those above it, so every group from the process's own to the top that is mounted here
/// is read and the tightest counts. What is absent or unreadable sets no limit.
CgroupLimits read_cgroup_limits(const std::filesystem::path& root = "/");

}  // namespace millrace
