#pragma once
// The machine: cores by kind, caches, memory, GPUs, limits. First value of the flow.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// Cores that are interchangeable. Kinds are ordered from the fastest to the slowest and named
/// "core" (one kind), "big", "little" (two) or "big", "medium", "little" (three); further ones
/// "kind3", ….
struct CoreKind {
  std::string name;
  std::vector<int> cpus;        ///< usable CPU numbers, ascending: one per physical core first
  double relative_speed = 1.0;  ///< of the fastest kind; a cold-start guess until profiled
  std::string model;            ///< "Cortex-A76", "" where unknown
  bool operator==(const CoreKind&) const = default;
};

struct Cache {
  int level = 1;
  std::string type;  ///< "data", "instruction" or "unified"
  std::int64_t bytes = 0;
  std::vector<int> cpus;  ///< the CPUs that share it
  bool operator==(const Cache&) const = default;
};

struct NumaNode {
  int index = 0;
  std::int64_t memory_bytes = 0;
  std::vector<int> cpus;
  bool operator==(const NumaNode&) const = default;
};

struct Gpu {
  std::string name;
  std::string api;  ///< "opencl" or "cuda"
  std::int64_t memory_bytes = 0;
  bool runs_on_cpu = false;  ///< OpenCL on the CPU (PoCL): for tests, it shares the cores
  bool operator==(const Gpu&) const = default;
};

/// What this process may use of the machine.
struct Limits {
  std::vector<int> allowed_cpus;                  ///< affinity mask and cpuset, ascending
  std::optional<double> cpu_quota;                ///< cgroup: CPUs' worth of time, 1.5 is not 2
  std::optional<std::int64_t> memory_limit_bytes; ///< cgroup: the tightest on the path
  bool operator==(const Limits&) const = default;
};

/// Something about the machine or the environment that costs speed or correctness, and what to do.
struct Warning {
  std::string tag;
  std::string message;  ///< what is wrong, both values, the remedy
  bool operator==(const Warning&) const = default;
};

struct Topology {
  std::string source;  ///< "machine", "xml:FILE" or "board:NAME"
  std::string machine; ///< product or CPU model name
  std::vector<CoreKind> kinds;
  std::vector<std::vector<int>> cores;  ///< physical cores: the CPU numbers (SMT siblings) of each
  std::vector<Cache> caches;
  std::vector<NumaNode> numa_nodes;
  std::int64_t memory_bytes = 0;            ///< of the machine
  std::int64_t memory_available_bytes = 0;  ///< free now, within the limits; 0 for another machine
  std::vector<Gpu> gpus;
  Limits limits;
  std::vector<Warning> warnings;
  bool operator==(const Topology&) const = default;

  /// The kind that `cpu` belongs to, or nullptr.
  const CoreKind* kind_of(int cpu) const;
  /// All usable CPUs of all kinds, ascending.
  std::vector<int> cpus() const;
};

struct TopologyRequest {
  std::optional<std::string> xml_file;  ///< an hwloc XML file instead of this machine
  std::optional<std::string> board;     ///< a folder name of boards/ instead of this machine
  bool list_gpus = true;
};

/// Discovers the machine (or reads the XML or board). Merges core kinds within 10 %, treats
/// uncovered cores as a kind of their own (hwloc reports both on real boards).
/// Throws ConfigError where the file, the board or the XML is not usable, or no core is allowed.
Topology discover_topology(const TopologyRequest& request);

/// Warnings for the environment traps (OPENBLAS_CORETYPE, OMP_PROC_BIND, OMP_PLACES,
/// GOMP_CPU_AFFINITY, …), each with its remedy. Also part of discover_topology's warnings.
std::vector<Warning> environment_warnings();

/// Keeps the cores of `selection`: "all", "big" (the fastest kind), "little" (the slowest) or
/// CPU numbers ("0,2-3"). Throws ConfigError where nothing is left or a CPU is not allowed.
Topology select_cores(const Topology& topology, const std::string& selection);

/// CPU numbers as taskset takes them: "0,2-3", "0-7:2". Ascending, each once.
/// Throws ConfigError (tag "cores").
std::vector<int> parse_cpu_list(std::string_view text);
std::string format_cpu_list(const std::vector<int>& cpus);

/// Folder names of the boards that come with Millrace.
std::vector<std::string> board_names();

std::string to_json(const Topology& topology);
/// Throws ConfigError (tag "topology") where the text is no topology of this version.
Topology topology_from_json(std::string_view text);
/// For people: several lines, no colours.
std::string describe(const Topology& topology);

}  // namespace millrace
