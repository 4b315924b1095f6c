#include "framework/topology/machine.hpp"

#include <fmt/format.h>
#include <hwloc.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

struct TopologyDeleter {
  void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
};
using TopologyHandle = std::unique_ptr<hwloc_topology, TopologyDeleter>;

struct BitmapDeleter {
  void operator()(hwloc_bitmap_t bitmap) const { hwloc_bitmap_free(bitmap); }
};
using Bitmap = std::unique_ptr<hwloc_bitmap_s, BitmapDeleter>;

[[noreturn]] void refuse(const std::optional<std::string>& xml_file, const char* what) {
  const int reason = errno;
  const char* variable = std::getenv("HWLOC_XMLFILE");
  std::string origin = "this machine";
  if (xml_file) {
    origin = *xml_file;
  } else if (variable != nullptr) {
    origin = fmt::format("HWLOC_XMLFILE={}", variable);
  }
  throw ConfigError("topology",
                    fmt::format("{}: hwloc {} {} ({}): give a file that `lstopo --of xml` of hwloc "
                                "{}.{} or older wrote",
                                origin, HWLOC_VERSION, what, std::strerror(reason),
                                HWLOC_VERSION_MAJOR, HWLOC_VERSION_MINOR));
}

TopologyHandle load(const std::optional<std::string>& xml_file) {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) refuse(xml_file, "cannot start");
  TopologyHandle topology(raw);
  hwloc_topology_set_icache_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_ALL);
  if (xml_file && std::filesystem::is_directory(*xml_file)) {
    errno = EISDIR;  // hwloc would print libxml2's error and say EINVAL
    refuse(xml_file, "cannot read it");
  }
  if (xml_file && hwloc_topology_set_xml(raw, xml_file->c_str()) != 0) {
    refuse(xml_file, "cannot read it");
  }
  if (hwloc_topology_load(raw) != 0) refuse(xml_file, "rejects it");
  return topology;
}

std::vector<int> cpus_of(hwloc_const_bitmap_t set) {
  std::vector<int> cpus;
  for (int cpu = hwloc_bitmap_first(set); cpu >= 0; cpu = hwloc_bitmap_next(set, cpu)) {
    cpus.push_back(cpu);
  }
  return cpus;
}

std::vector<hwloc_obj_t> objects(hwloc_topology_t topology, hwloc_obj_type_t type) {
  std::vector<hwloc_obj_t> result;
  for (hwloc_obj_t object = nullptr;
       (object = hwloc_get_next_obj_by_type(topology, type, object)) != nullptr;) {
    result.push_back(object);
  }
  return result;
}

std::string info(hwloc_obj_t object, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* value = object == nullptr ? nullptr : hwloc_obj_get_info_by_name(object, name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "";
}

std::vector<int> allowed_cpus(hwloc_topology_t topology) {
  const hwloc_const_cpuset_t present = hwloc_topology_get_allowed_cpuset(topology);
  if (!hwloc_topology_is_thissystem(topology)) return cpus_of(present);
  const Bitmap mask(hwloc_bitmap_alloc());
  if (hwloc_get_cpubind(topology, mask.get(), HWLOC_CPUBIND_THREAD) != 0) return cpus_of(present);
  hwloc_bitmap_and(mask.get(), mask.get(), present);
  return cpus_of(mask.get());
}

// A machine whose cores hwloc cannot tell (no sysfs) still has CPUs: each is a core.
std::vector<std::vector<int>> cores(hwloc_topology_t topology) {
  std::vector<hwloc_obj_t> found = objects(topology, HWLOC_OBJ_CORE);
  if (found.empty()) found = objects(topology, HWLOC_OBJ_PU);
  std::vector<std::vector<int>> result;
  for (const hwloc_obj_t core : found) result.push_back(cpus_of(core->cpuset));
  return result;
}

std::string cache_type(hwloc_obj_cache_type_t type) {
  if (type == HWLOC_OBJ_CACHE_UNIFIED) return "unified";
  return type == HWLOC_OBJ_CACHE_DATA ? "data" : "instruction";
}

std::vector<Cache> caches(hwloc_topology_t topology) {
  std::vector<Cache> result;
  for (const hwloc_obj_type_t type : {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L1ICACHE, HWLOC_OBJ_L2CACHE,
                                      HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L4CACHE}) {
    for (const hwloc_obj_t object : objects(topology, type)) {
      const auto& cache = object->attr->cache;
      result.push_back({static_cast<int>(cache.depth), cache_type(cache.type),
                        static_cast<std::int64_t>(cache.size), cpus_of(object->cpuset)});
    }
  }
  return result;
}

std::vector<NumaNode> numa_nodes(hwloc_topology_t topology) {
  std::vector<NumaNode> result;
  for (const hwloc_obj_t node : objects(topology, HWLOC_OBJ_NUMANODE)) {
    result.push_back({static_cast<int>(node->os_index),
                      static_cast<std::int64_t>(node->attr->numanode.local_memory),
                      cpus_of(node->cpuset)});
  }
  return result;
}

std::vector<RawKind> kinds(hwloc_topology_t topology) {
  std::vector<RawKind> result;
  const int count = hwloc_cpukinds_get_nr(topology, 0);
  for (int index = 0; index < count; ++index) {
    const Bitmap set(hwloc_bitmap_alloc());
    RawKind kind;
    unsigned infos = 0;
    hwloc_info_s* values = nullptr;
    hwloc_cpukinds_get_info(topology, static_cast<unsigned>(index), set.get(), &kind.rank, &infos,
                            &values, 0);
    kind.cpus = cpus_of(set.get());
    for (unsigned i = 0; i < infos; ++i) kind.infos.emplace(values[i].name, values[i].value);
    result.push_back(std::move(kind));
  }
  return result;
}

}  // namespace

RawMachine read_machine(const std::optional<std::string>& xml_file) {
  const TopologyHandle handle = load(xml_file);
  const hwloc_topology_t topology = handle.get();
  const hwloc_obj_t root = hwloc_get_root_obj(topology);
  RawMachine machine;
  machine.this_system = hwloc_topology_is_thissystem(topology) != 0;
  machine.product = info(root, {"DMIProductName", "PlatformName"});
  machine.cpu_model = info(hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0), {"CPUModel"});
  machine.allowed_cpus = allowed_cpus(topology);
  machine.cores = cores(topology);
  machine.caches = caches(topology);
  machine.numa_nodes = numa_nodes(topology);
  machine.memory_bytes = static_cast<std::int64_t>(root->total_memory);
  machine.kinds = kinds(topology);
  return machine;
}

}  // namespace millrace
