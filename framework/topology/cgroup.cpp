#include "framework/topology/cgroup.hpp"

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "framework/topology/system_files.hpp"

namespace millrace {
namespace {

using std::filesystem::path;

// Version 1 writes "no limit" as the largest number of pages.
constexpr std::int64_t kNoLimitBytes = std::int64_t{1} << 60;

std::vector<std::string> split(const std::string& text, char separator) {
  std::istringstream stream(text);
  std::vector<std::string> parts;
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

bool contains(const std::vector<std::string>& parts, const std::string& part) {
  return std::find(parts.begin(), parts.end(), part) != parts.end();
}

// The hierarchy of one controller: where it is mounted, and which part of it that mount shows.
struct Mount {
  path root;   // of the hierarchy: "/" or, in a container, the container's own group
  path point;  // in the file system
};

// "36 25 0:31 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory"
std::optional<Mount> find_mount(const SystemFiles& files, const std::string& controller) {
  for (const std::string& line : split(files.text("proc/self/mountinfo").value_or(""), '\n')) {
    const auto fields = split(line, ' ');
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (dash - fields.begin() < 6 || fields.end() - dash < 4) continue;
    const bool version_2 = controller.empty() && dash[1] == "cgroup2";
    const bool version_1 = dash[1] == "cgroup" && contains(split(dash[3], ','), controller);
    if (version_2 || version_1) return Mount{fields[3], fields[4]};
  }
  return std::nullopt;
}

// "4:memory:/user.slice", "2:cpu,cpuacct:/", and "0::/user.slice" for version 2.
std::optional<path> own_group(const SystemFiles& files, const std::string& controller) {
  for (const std::string& line : split(files.text("proc/self/cgroup").value_or(""), '\n')) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool match =
        controller.empty() ? controllers.empty() : contains(split(controllers, ','), controller);
    if (match) return path(line.substr(second + 1));
  }
  return std::nullopt;
}

template <typename Number>
void tighten(std::optional<Number>& limit, std::optional<Number> other) {
  if (other && (!limit || *other < *limit)) limit = other;
}

// Version 2: "150000 100000" or "max 100000".
std::optional<double> quota_v2(const SystemFiles& files, const path& group) {
  std::istringstream words(files.text(group / "cpu.max").value_or(""));
  double quota = 0, period = 0;
  if (!(words >> quota >> period) || quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

// Version 1: a quota of -1 is none.
std::optional<double> quota_v1(const SystemFiles& files, const path& group) {
  const auto quota = files.number(group / "cpu.cfs_quota_us");
  const auto period = files.number(group / "cpu.cfs_period_us");
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

/// Of a file such as memory.max; empty where it sets none.
std::optional<std::int64_t> cgroup_limit(const SystemFiles& files, const path& file) {
  const auto limit = files.number(file);
  if (!limit || *limit < 0 || *limit >= kNoLimitBytes) return std::nullopt;
  return limit;
}

void apply_memory(CgroupLimits& limits, const std::optional<GroupMemory>& group) {
  if (!group) return;
  tighten(limits.memory_limit_bytes, std::optional(group->limit_bytes));
  tighten(limits.memory_left_bytes,
          std::optional(std::max<std::int64_t>(group->limit_bytes - group->held_bytes, 0)));
}

std::optional<GroupMemory> group_memory(std::optional<std::int64_t> limit, std::int64_t usage,
                                        std::int64_t file_cache) {
  if (!limit) return std::nullopt;
  return GroupMemory{*limit, std::max<std::int64_t>(usage - file_cache, 0)};
}

}  // namespace

std::vector<path> cgroup_folders(const SystemFiles& files, const std::string& controller) {
  const auto mount = find_mount(files, controller);
  const auto group = own_group(files, controller);
  if (!mount || !group) return {};
  path below = group->lexically_relative(mount->root);
  // Outside the mount (another group namespace): only what is mounted can be read.
  if (below.empty() || *below.begin() == "..") below = ".";
  const path top = mount->point.relative_path();
  std::vector<path> result;
  for (path folder = (top / below).lexically_normal(); folder != top && !folder.empty();
       folder = folder.parent_path()) {
    if (folder.has_filename()) result.push_back(folder);
  }
  result.push_back(top);
  return result;
}

std::optional<GroupMemory> memory_of_group_v1(const SystemFiles& files, const path& group) {
  const path statistics = group / "memory.stat";
  return group_memory(cgroup_limit(files, group / "memory.limit_in_bytes"),
                      files.number(group / "memory.usage_in_bytes").value_or(0),
                      files.statistic(statistics, "total_inactive_file") +
                          files.statistic(statistics, "total_active_file"));
}

std::optional<GroupMemory> memory_of_group_v2(const SystemFiles& files, const path& group) {
  const path statistics = group / "memory.stat";
  std::optional<std::int64_t> limit = cgroup_limit(files, group / "memory.max");
  tighten(limit, cgroup_limit(files, group / "memory.high"));
  return group_memory(
      limit, files.number(group / "memory.current").value_or(0),
      files.statistic(statistics, "inactive_file") + files.statistic(statistics, "active_file"));
}

CgroupLimits read_cgroup_limits(const path& root) {
  const SystemFiles files(root);
  CgroupLimits limits;
  for (const path& group : cgroup_folders(files, "")) {
    tighten(limits.cpu_quota, quota_v2(files, group));
    apply_memory(limits, memory_of_group_v2(files, group));
  }
  for (const path& group : cgroup_folders(files, "cpu")) {
    tighten(limits.cpu_quota, quota_v1(files, group));
  }
  for (const path& group : cgroup_folders(files, "memory")) {
    apply_memory(limits, memory_of_group_v1(files, group));
  }
  return limits;
}

}  // namespace millrace
