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

/// A clock at which a core can run. Power is that of one core, modelled as coefficient x clock x
/// voltage squared: it ranks clocks and kinds; only a sensor measures.
struct OperatingPoint {
  int mhz = 0;
  double volts = 0.0;
  double watts = 0.0;
  bool operator==(const OperatingPoint&) const = default;
};

/// Cores of a board that are built alike.
struct BoardCores {
  std::string model;
  std::vector<int> cpus;
  int max_mhz = 0;
  std::vector<OperatingPoint> operating_points;  ///< the fastest first; empty where not published
  std::string source;
  bool operator==(const BoardCores&) const = default;
};

/// What is published about a board, each fact with its source.
struct BoardFacts {
  std::string soc;
  std::vector<std::string> products;  ///< boards and devices that have it
  std::vector<BoardCores> cores;
  std::string memory_source, caches_source;
  std::vector<std::string> gpu_sources;  ///< one for each of Topology::gpus
  bool operator==(const BoardFacts&) const = default;
};

/// What this process may use of the machine.
struct Limits {
  std::vector<int> allowed_cpus;                   ///< affinity mask and cpuset, ascending
  std::optional<double> cpu_quota;                 ///< cgroup: CPUs' worth of time, 1.5 is not 2
  std::optional<std::int64_t> memory_limit_bytes;  ///< cgroup: the tightest on the path
  bool operator==(const Limits&) const = default;
};

/// Something about the machine or the environment that costs speed or correctness, and what to do.
struct Warning {
  std::string tag;
  std::string message;  ///< what is wrong, both values, the remedy
  bool operator==(const Warning&) const = default;
};

struct Topology {
  /// "machine", "xml:FILE", "board:NAME", or "environment" where hwloc's variables make one up.
  std::string source;
  std::string machine;  ///< product or CPU model name
  std::vector<CoreKind> kinds;
  std::vector<std::vector<int>> cores;  ///< physical cores: the CPU numbers (SMT siblings) of each
  std::vector<Cache> caches;
  std::vector<NumaNode> numa_nodes;
  std::int64_t memory_bytes = 0;            ///< of the machine
  std::int64_t memory_available_bytes = 0;  ///< free now, within the limits; 0 for another machine
  std::vector<Gpu> gpus;
  Limits limits;
  std::vector<Warning> warnings;
  std::optional<BoardFacts> board;  ///< where a board was asked for
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
/// uncovered cores as a kind of their own (hwloc reports both on real boards). hwloc's environment
/// holds: HWLOC_XMLFILE stands for the machine, and with HWLOC_THISSYSTEM=1 what is bound is real.
/// Limits are those of the calling thread's affinity mask and of the process's control groups; for
/// another machine there are none.
/// Throws ConfigError where the file, the board or the XML is not usable, or no core is allowed.
Topology discover_topology(const TopologyRequest& request);

/// Whether this machine's CPUs multiply bfloat16 (AVX512-BF16).
bool computes_bf16();

/// Warnings for the environment traps (OPENBLAS_CORETYPE, OMP_PROC_BIND, OMP_PLACES,
/// GOMP_CPU_AFFINITY, …), each with its remedy. Also part of discover_topology's warnings, where it
/// is not another machine that was asked for.
std::vector<Warning> environment_warnings();

/// Keeps the cores of `selection`: "all", "big" (the fastest kind), "little" (the slowest) or
/// CPU numbers ("0,2-3"). Kinds keep their names and speeds, so that costs by kind stay valid.
/// Throws ConfigError (tag "cores") where a CPU is not there or not allowed.
Topology select_cores(const Topology& topology, const std::string& selection);

/// The CPUs of `cpu`'s physical core (SMT siblings), itself included.
std::vector<int> core_of(const Topology& topology, int cpu);

/// One CPU of every physical core of `kind`, in the kind's order: the devices that a plan uses.
std::vector<int> device_cpus(const Topology& topology, const CoreKind& kind);

/// CPU numbers as taskset takes them: "0,2-3", "0-7:2". Ascending, each once.
/// Throws ConfigError (tag "cores").
std::vector<int> parse_cpu_list(std::string_view text);
std::string format_cpu_list(const std::vector<int>& cpus);

/// Folder names of the boards that come with Millrace, ascending. They are looked for in the folder
/// that MILLRACE_BOARDS names, else in share/millrace/boards beside the program's bin, else in the
/// source tree. Throws ConfigError (tag "board") where there is no such folder.
std::vector<std::string> board_names();

std::string to_json(const Topology& topology);
/// Throws ConfigError (tag "topology") where the text is no topology of this version.
Topology topology_from_json(std::string_view text);
/// For people: several lines, no colours.
std::string describe(const Topology& topology);

}  // namespace millrace
