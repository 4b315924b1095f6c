#include "framework/topology/warnings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>

#include "framework/topology/blas_core.hpp"

namespace millrace {
namespace {

void append(std::vector<Warning>& warnings, std::optional<Warning> warning) {
  if (warning) warnings.push_back(std::move(*warning));
}

std::optional<Warning> quota_warning(const Topology& topology) {
  const auto quota = topology.limits.cpu_quota;
  const std::size_t cores = topology.cores.size();
  if (!quota || *quota >= static_cast<double>(cores)) return std::nullopt;
  return Warning{
      "quota", fmt::format("the control group grants {:.4g} CPUs' worth of time, {} cores are "
                           "allowed: threads beyond the quota are stopped in turn, so --cores all "
                           "takes {}; raise the quota for more",
                           *quota, cores, std::max(1, static_cast<int>(std::floor(*quota))))};
}

std::optional<Warning> smt_warning(const Topology& topology) {
  std::vector<int> first, others;
  for (const auto& core : topology.cores) {
    first.push_back(core.front());
    others.insert(others.end(), core.begin() + 1, core.end());
  }
  if (others.empty()) return std::nullopt;
  return Warning{"smt", fmt::format("CPUs {} are second threads of cores that CPUs {} already are: "
                                    "plans take one thread of a core",
                                    format_cpu_list(others), format_cpu_list(first))};
}

// intel_pstate and amd-pstate-epp call "powersave" what adapts to the load.
bool holds_clock_down(const SystemFiles& files, int cpu) {
  const std::string driver = files.frequency_driver(cpu).value_or("");
  return files.frequency_governor(cpu) == "powersave" && driver != "intel_pstate" &&
         driver != "amd-pstate-epp";
}

std::optional<Warning> governor_warning(const Topology& topology, const SystemFiles& files) {
  std::vector<int> slow = topology.cpus();
  std::erase_if(slow, [&](int cpu) { return !holds_clock_down(files, cpu); });
  if (slow.empty()) return std::nullopt;
  return Warning{"governor",
                 fmt::format("CPUs {} run under the frequency governor powersave, at their lowest "
                             "clock: choose schedutil or performance (cpupower frequency-set -g "
                             "schedutil)",
                             format_cpu_list(slow))};
}

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

std::optional<Warning> when_set(const char* name, const std::string& consequence) {
  const auto value = variable(name);
  if (!value) return std::nullopt;
  return Warning{"environment", fmt::format("{}={} {}: unset {}", name, *value, consequence, name)};
}

// OpenMP's own reading: case does not matter, and "false" makes it ignore places.
bool binding_is_off() {
  std::string value = variable("OMP_PROC_BIND").value_or("");
  std::transform(value.begin(), value.end(), value.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return value == "false";
}

}  // namespace

std::vector<Warning> core_warnings(const Topology& topology) {
  std::vector<Warning> warnings;
  append(warnings, quota_warning(topology));
  append(warnings, smt_warning(topology));
  return warnings;
}

std::vector<Warning> clock_warnings(const Topology& topology, const SystemFiles& files) {
  std::vector<Warning> warnings;
  append(warnings, governor_warning(topology, files));
  return warnings;
}

std::vector<Warning> environment_warnings() {
  std::vector<Warning> warnings;
  for (const char* name : {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"}) {
    if (binding_is_off()) break;
    append(warnings,
           when_set(name, "lets OpenMP bind the threads of every stage to the same first place"));
  }
  if (!uses_widest(variable("OPENBLAS_CORETYPE").value_or(""), vector_units()))
    append(warnings, when_set("OPENBLAS_CORETYPE",
                              "makes OpenBLAS use the kernels of that core, here perhaps at half "
                              "the speed of those it would choose"));
  for (const char* name : {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY"}) {
    append(warnings, when_set(name, "keeps faster instructions of this CPU from being used"));
  }
  for (const char* name : {"HWLOC_XMLFILE", "HWLOC_SYNTHETIC", "HWLOC_FSROOT"}) {
    append(warnings, when_set(name,
                              "makes hwloc report another machine than this one, which is "
                              "meant for trials only"));
  }
  return warnings;
}

}  // namespace millrace
