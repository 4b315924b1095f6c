// Topology for people.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <tuple>

#include "millrace/topology.hpp"
#include "millrace/units.hpp"

namespace millrace {
namespace {

std::string line(const std::string& label, const std::string& text) {
  return fmt::format("  {:<9} {}\n", label, text);
}

std::string counted(std::size_t count, const std::string& what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string bytes(std::int64_t value) { return format_bytes(static_cast<double>(value)); }

std::string describe_kind(const CoreKind& kind) {
  const std::string model = kind.model.empty() ? "" : fmt::format("  {}", kind.model);
  return line(kind.name, fmt::format("{:>2} x  CPUs {:<12} speed {:.2f}{}", kind.cpus.size(),
                                     format_cpu_list(kind.cpus), kind.relative_speed, model));
}

// "L1 data 4 x 32 KiB, 4 x 64 KiB, L2 …": alike caches are counted.
std::string describe_caches(const std::vector<Cache>& caches) {
  std::map<std::tuple<int, std::string, std::int64_t>, int> counts;
  for (const Cache& cache : caches) ++counts[{cache.level, cache.type, cache.bytes}];
  std::vector<std::string> texts;
  for (const auto& [key, count] : counts) {
    const auto& [level, type, size] = key;
    texts.push_back(fmt::format("L{}{} {} x {}", level, type == "unified" ? "" : " " + type, count,
                                bytes(size)));
  }
  return texts.empty() ? "" : line("caches", fmt::format("{}", fmt::join(texts, ", ")));
}

std::string describe_memory(const Topology& topology) {
  std::string text = topology.memory_bytes > 0 ? bytes(topology.memory_bytes) : "unknown";
  if (topology.memory_available_bytes > 0) {
    text += fmt::format(", {} available", bytes(topology.memory_available_bytes));
  }
  if (topology.numa_nodes.size() > 1) {
    text += ", " + counted(topology.numa_nodes.size(), "NUMA node");
  }
  return line("memory", text);
}

std::string describe_limits(const Limits& limits) {
  std::vector<std::string> texts;
  if (limits.cpu_quota)
    texts.push_back(fmt::format("{:.4g} CPUs' worth of time", *limits.cpu_quota));
  if (limits.memory_limit_bytes) texts.push_back(bytes(*limits.memory_limit_bytes) + " of memory");
  return texts.empty() ? "" : line("limits", fmt::format("{}", fmt::join(texts, ", ")));
}

std::string describe_gpu(const Gpu& gpu) {
  std::string text = fmt::format("{} ({}", gpu.name, gpu.api);
  if (gpu.memory_bytes > 0) text += ", " + bytes(gpu.memory_bytes);
  if (gpu.runs_on_cpu) text += ", on the CPU: for tests only";
  return line("GPU", text + ")");
}

std::string describe_board(const BoardFacts& board) {
  std::string text = line("found in", fmt::format("{}", fmt::join(board.products, ", ")));
  for (const BoardCores& cores : board.cores) {
    std::string power;
    if (!cores.operating_points.empty()) {
      const OperatingPoint& top = cores.operating_points.front();
      power = fmt::format(", {:.2f} W a core at {} MHz and {} V", top.watts, top.mhz, top.volts);
    }
    text += line("CPUs " + format_cpu_list(cores.cpus),
                 fmt::format("{}, up to {} MHz{}", cores.model, cores.max_mhz, power));
  }
  return text;
}

}  // namespace

std::string describe(const Topology& topology) {
  std::string text =
      fmt::format("{} ({}): {}, {}\n",
                  topology.machine.empty() ? "Unknown machine" : topology.machine, topology.source,
                  counted(topology.cores.size(), "core"), counted(topology.cpus().size(), "CPU"));
  for (const CoreKind& kind : topology.kinds) text += describe_kind(kind);
  text += describe_caches(topology.caches) + describe_memory(topology);
  text += describe_limits(topology.limits);
  for (const Gpu& gpu : topology.gpus) text += describe_gpu(gpu);
  if (topology.board) text += describe_board(*topology.board);
  for (const Warning& warning : topology.warnings) {
    text += fmt::format("  warning [{}] {}\n", warning.tag, warning.message);
  }
  return text;
}

}  // namespace millrace
