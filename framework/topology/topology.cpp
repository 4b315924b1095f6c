#include "millrace/topology.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "framework/topology/assemble.hpp"
#include "framework/topology/boards.hpp"
#include "framework/topology/warnings.hpp"
#include "kernels/matrix/precision.hpp"
#include "kernels/opencl/device_list.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

std::string source_of(const RawMachine& machine, const TopologyRequest& request) {
  if (machine.this_system) return "machine";
  if (request.xml_file) return "xml:" + *request.xml_file;
  const char* variable = std::getenv("HWLOC_XMLFILE");
  return variable == nullptr ? "environment" : fmt::format("xml:{}", variable);
}

std::vector<Gpu> list_gpus() {
  std::vector<Gpu> gpus;
  for (const kernels::OpenClDevice& device : kernels::list_opencl_devices()) {
    gpus.push_back({device.name, "opencl", device.memory_bytes, device.is_cpu});
  }
  return gpus;
}

// Files do not say which core it is; the board's facts do.
void name_models(std::vector<CoreKind>& kinds, const std::vector<BoardCores>& cores) {
  for (CoreKind& kind : kinds) {
    for (const BoardCores& alike : cores) {
      const bool holds_first =
          std::find(alike.cpus.begin(), alike.cpus.end(), kind.cpus.front()) != alike.cpus.end();
      if (kind.model.empty() && holds_first) kind.model = alike.model;
    }
  }
}

Topology discover_board(const std::string& name, bool with_gpus) {
  const Board board = read_board(name);
  Topology topology = assemble_topology(read_machine(board.topology_file.string()));
  topology.source = "board:" + name;
  topology.machine = board.facts.soc;
  topology.memory_bytes = board.memory_bytes;
  if (with_gpus) topology.gpus = board.gpus;
  name_models(topology.kinds, board.facts.cores);
  topology.board = board.facts;
  return topology;
}

[[noreturn]] void refuse_cpus(const Topology& topology, const std::vector<int>& wanted,
                              const std::vector<int>& missing) {
  throw ConfigError(
      "cores", fmt::format("CPUs {} are asked for, {} may be used and {} not among them: choose "
                           "CPUs that are there and allowed",
                           format_cpu_list(wanted), format_cpu_list(topology.cpus()),
                           format_cpu_list(missing) + (missing.size() == 1 ? " is" : " are")));
}

/// Of no more cores than the control group's quota pays for, the fastest kinds first: threads
/// beyond it would be stopped in turn.
std::vector<int> affordable_cpus(const Topology& topology) {
  const auto quota = topology.limits.cpu_quota;
  if (!quota || *quota >= static_cast<double>(topology.cores.size())) return topology.cpus();
  const auto most = std::max<std::size_t>(1, static_cast<std::size_t>(*quota));
  std::vector<std::vector<int>> cores;
  for (const CoreKind& kind : topology.kinds) {
    for (const auto& core : topology.cores) {
      const bool of_kind = topology.kind_of(core.front()) == &kind;
      if (of_kind && cores.size() < most) cores.push_back(core);
    }
  }
  std::vector<int> cpus;
  for (const auto& core : cores) cpus.insert(cpus.end(), core.begin(), core.end());
  std::sort(cpus.begin(), cpus.end());
  return cpus;
}

std::vector<int> selected_cpus(const Topology& topology, const std::string& selection) {
  if (selection == "all") return affordable_cpus(topology);
  if (selection == "big") return topology.kinds.front().cpus;
  if (selection == "little") return topology.kinds.back().cpus;
  if (selection.find_first_of("0123456789") == std::string::npos) {
    throw ConfigError("cores", fmt::format("\"{}\" selects nothing: write all, big, little or CPU "
                                           "numbers such as 0,2-3",
                                           selection));
  }
  const std::vector<int> wanted = parse_cpu_list(selection);
  std::vector<int> missing = wanted;
  std::erase_if(missing, [&](int cpu) { return topology.kind_of(cpu) != nullptr; });
  if (!missing.empty()) refuse_cpus(topology, wanted, missing);
  return wanted;
}

void keep(std::vector<int>& cpus, const std::vector<int>& selected) {
  std::erase_if(cpus, [&](int cpu) {
    return std::find(selected.begin(), selected.end(), cpu) == selected.end();
  });
}

// With fewer cores the quota may be enough, and siblings apart.
void renew_core_warnings(Topology& topology) {
  std::erase_if(topology.warnings, [](const Warning& warning) {
    return warning.tag == "quota" || warning.tag == "smt";
  });
  const std::vector<Warning> renewed = core_warnings(topology);
  topology.warnings.insert(topology.warnings.end(), renewed.begin(), renewed.end());
}

}  // namespace

const CoreKind* Topology::kind_of(int cpu) const {
  for (const CoreKind& kind : kinds) {
    if (std::find(kind.cpus.begin(), kind.cpus.end(), cpu) != kind.cpus.end()) return &kind;
  }
  return nullptr;
}

std::vector<int> Topology::cpus() const {
  std::vector<int> all;
  for (const CoreKind& kind : kinds) all.insert(all.end(), kind.cpus.begin(), kind.cpus.end());
  std::sort(all.begin(), all.end());
  return all;
}

std::vector<int> core_of(const Topology& topology, int cpu) {
  for (const auto& core : topology.cores) {
    if (std::find(core.begin(), core.end(), cpu) != core.end()) return core;
  }
  return {cpu};
}

std::vector<int> device_cpus(const Topology& topology, const CoreKind& kind) {
  std::vector<int> cpus;
  for (const int cpu : kind.cpus) {
    const std::vector<int> siblings = core_of(topology, cpu);
    const bool has_sibling = std::any_of(cpus.begin(), cpus.end(), [&](int earlier) {
      return std::find(siblings.begin(), siblings.end(), earlier) != siblings.end();
    });
    if (!has_sibling) cpus.push_back(cpu);
  }
  return cpus;
}

bool computes_bf16() { return kernels::has_bf16_products(); }

Topology discover_topology(const TopologyRequest& request) {
  if (request.xml_file && request.board) {
    throw ConfigError("topology",
                      fmt::format("both an XML file ({}) and a board ({}) are asked for: "
                                  "give one of them",
                                  *request.xml_file, *request.board));
  }
  if (request.board) return discover_board(*request.board, request.list_gpus);
  const RawMachine machine = read_machine(request.xml_file);
  Topology topology = assemble_topology(machine);
  topology.source = source_of(machine, request);
  if (machine.this_system && request.list_gpus) topology.gpus = list_gpus();
  if (machine.this_system || !request.xml_file) {
    const auto warnings = environment_warnings();
    topology.warnings.insert(topology.warnings.end(), warnings.begin(), warnings.end());
  }
  return topology;
}

Topology select_cores(const Topology& topology, const std::string& selection) {
  MILLRACE_CHECK(!topology.kinds.empty(), "cores", "a topology has at least one kind");
  const std::vector<int> selected = selected_cpus(topology, selection);
  Topology result = topology;
  for (CoreKind& kind : result.kinds) keep(kind.cpus, selected);
  std::erase_if(result.kinds, [](const CoreKind& kind) { return kind.cpus.empty(); });
  for (auto& core : result.cores) keep(core, selected);
  std::erase_if(result.cores, [](const auto& core) { return core.empty(); });
  result.limits.allowed_cpus = result.cpus();
  if (selection != "all") renew_core_warnings(result);
  return result;
}

}  // namespace millrace
