#include "framework/topology/memory_state.hpp"

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "framework/topology/cgroup.hpp"
#include "framework/topology/system_files.hpp"

namespace millrace {
namespace {

using std::filesystem::path;

/// "full avg10=1.25 avg60=…".
double stalled_percent(const SystemFiles& files, const path& file) {
  std::istringstream stream(files.text(file).value_or(""));
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line);
    std::string kind, average;
    if (!(words >> kind >> average) || kind != "full" || !average.starts_with("avg10=")) continue;
    return std::strtod(average.c_str() + std::string_view("avg10=").size(), nullptr);
  }
  return 0;
}

std::optional<MemoryState> state(const std::optional<GroupMemory>& memory) {
  if (!memory || memory->limit_bytes <= 0) return std::nullopt;
  const std::int64_t limit = memory->limit_bytes;
  return MemoryState{
      limit, std::clamp<std::int64_t>(limit - memory->held_bytes, 0, limit), 0, 0, {}};
}

std::optional<MemoryState> of_group_v2(const SystemFiles& files, const path& group) {
  auto found = state(memory_of_group_v2(files, group));
  if (!found) return found;
  found->group = group.string();
  for (const char* event : {"high", "max", "oom", "oom_kill"})
    found->hits += files.statistic(group / "memory.events", event);
  found->stalled_percent = stalled_percent(files, group / "memory.pressure");
  return found;
}

std::optional<MemoryState> of_group_v1(const SystemFiles& files, const path& group) {
  auto found = state(memory_of_group_v1(files, group));
  if (!found) return found;
  found->group = group.string();
  found->hits = files.number(group / "memory.failcnt").value_or(0);
  return found;
}

std::optional<MemoryState> of_machine(const SystemFiles& files) {
  const auto total = files.memory_total_bytes();
  if (!total) return std::nullopt;
  auto found = state(GroupMemory{*total, *total - files.memory_available_bytes().value_or(*total)});
  if (found) found->stalled_percent = stalled_percent(files, "proc/pressure/memory");
  return found;
}

void keep_tighter(std::optional<MemoryState>& kept, const std::optional<MemoryState>& other) {
  if (other && (!kept || other->left_share() < kept->left_share())) kept = other;
}

}  // namespace

std::optional<MemoryState> read_memory_state(const path& root) {
  const SystemFiles files(root);
  std::optional<MemoryState> tightest = of_machine(files);
  for (const path& group : cgroup_folders(files, ""))
    keep_tighter(tightest, of_group_v2(files, group));
  for (const path& group : cgroup_folders(files, "memory"))
    keep_tighter(tightest, of_group_v1(files, group));
  return tightest;
}

}  // namespace millrace
