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

std::optional<std::int64_t> smaller(std::optional<std::int64_t> a, std::optional<std::int64_t> b) {
  return a && b ? std::min(a, b) : a ? a : b;
}

std::optional<MemoryState> state(std::optional<std::int64_t> limit, std::int64_t held) {
  if (!limit || *limit <= 0) return std::nullopt;
  return MemoryState{*limit, std::clamp<std::int64_t>(*limit - held, 0, *limit), 0, 0, {}};
}

std::optional<MemoryState> of_group_v2(const SystemFiles& files, const path& group) {
  const path statistics = group / "memory.stat", events = group / "memory.events";
  auto found = state(smaller(cgroup_limit(files, group / "memory.max"),
                             cgroup_limit(files, group / "memory.high")),
                     files.number(group / "memory.current").value_or(0) -
                         files.statistic(statistics, "inactive_file") -
                         files.statistic(statistics, "active_file"));
  if (!found) return found;
  found->group = group.string();
  for (const char* event : {"high", "max", "oom", "oom_kill"})
    found->hits += files.statistic(events, event);
  found->stalled_percent = stalled_percent(files, group / "memory.pressure");
  return found;
}

std::optional<MemoryState> of_group_v1(const SystemFiles& files, const path& group) {
  const path statistics = group / "memory.stat";
  auto found = state(cgroup_limit(files, group / "memory.limit_in_bytes"),
                     files.number(group / "memory.usage_in_bytes").value_or(0) -
                         files.statistic(statistics, "total_inactive_file") -
                         files.statistic(statistics, "total_active_file"));
  if (!found) return found;
  found->group = group.string();
  found->hits = files.number(group / "memory.failcnt").value_or(0);
  return found;
}

std::optional<MemoryState> of_machine(const SystemFiles& files) {
  const auto total = files.memory_total_bytes();
  auto found =
      state(total, total.value_or(0) - files.memory_available_bytes().value_or(total.value_or(0)));
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
