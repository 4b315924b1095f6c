// Topology as JSON, both ways.

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "framework/base/json_reader.hpp"
#include "millrace/topology.hpp"

namespace millrace {
namespace {

using nlohmann::ordered_json;

const char* const kFormat = "millrace-topology";
constexpr int kVersion = 1;

template <typename Value>
ordered_json or_null(const std::optional<Value>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

template <typename Value, typename Write>
ordered_json list(const std::vector<Value>& values, const Write& write) {
  ordered_json result = ordered_json::array();
  for (const Value& value : values) result.push_back(write(value));
  return result;
}

ordered_json write_kind(const CoreKind& kind) {
  return {{"name", kind.name},
          {"cpus", kind.cpus},
          {"relative_speed", kind.relative_speed},
          {"model", kind.model}};
}

ordered_json write_cache(const Cache& cache) {
  return {
      {"level", cache.level}, {"type", cache.type}, {"bytes", cache.bytes}, {"cpus", cache.cpus}};
}

ordered_json write_numa_node(const NumaNode& node) {
  return {{"index", node.index}, {"memory_bytes", node.memory_bytes}, {"cpus", node.cpus}};
}

ordered_json write_gpu(const Gpu& gpu) {
  return {{"name", gpu.name},
          {"api", gpu.api},
          {"memory_bytes", gpu.memory_bytes},
          {"runs_on_cpu", gpu.runs_on_cpu}};
}

ordered_json write_limits(const Limits& limits) {
  return {{"allowed_cpus", limits.allowed_cpus},
          {"cpu_quota", or_null(limits.cpu_quota)},
          {"memory_limit_bytes", or_null(limits.memory_limit_bytes)}};
}

ordered_json write_warning(const Warning& warning) {
  return {{"tag", warning.tag}, {"message", warning.message}};
}

ordered_json write_operating_point(const OperatingPoint& point) {
  return {{"mhz", point.mhz}, {"volts", point.volts}, {"watts", point.watts}};
}

ordered_json write_board_cores(const BoardCores& cores) {
  return {{"model", cores.model},
          {"cpus", cores.cpus},
          {"max_mhz", cores.max_mhz},
          {"operating_points", list(cores.operating_points, write_operating_point)},
          {"source", cores.source}};
}

ordered_json write_board(const BoardFacts& board) {
  return {{"soc", board.soc},
          {"products", board.products},
          {"cores", list(board.cores, write_board_cores)},
          {"memory_source", board.memory_source},
          {"caches_source", board.caches_source},
          {"gpu_sources", board.gpu_sources}};
}

template <typename Read>
auto read_list(JsonReader& reader, const std::string& key, const Read& read) {
  std::vector<decltype(read(reader))> result;
  for (std::size_t i = 0; i < reader.array(key).size(); ++i) {
    JsonReader element = reader.element(key, i);
    result.push_back(read(element));
    element.finish();
  }
  return result;
}

std::vector<int> cpus_of(const nlohmann::json& list, const JsonReader& reader,
                         const std::string& key) {
  if (!list.is_array()) reader.fail(key, "is not a list of CPU numbers");
  std::vector<int> cpus;
  for (const auto& value : list) {
    if (!value.is_number_integer() || value < 0 || value > std::numeric_limits<int>::max()) {
      reader.fail(key, fmt::format("holds {}, which is no CPU number", value.dump()));
    }
    cpus.push_back(value.get<int>());
  }
  return cpus;
}

std::vector<int> read_cpus(JsonReader& reader, const std::string& key) {
  return cpus_of(reader.array(key), reader, key);
}

std::int64_t read_bytes(JsonReader& reader, const std::string& key) {
  const std::int64_t bytes = reader.integer(key);
  if (bytes < 0) reader.fail(key, fmt::format("is {}, at least 0 is needed", bytes));
  return bytes;
}

int read_int(JsonReader& reader, const std::string& key) {
  const std::int64_t value = read_bytes(reader, key);
  if (value > std::numeric_limits<int>::max()) reader.fail(key, "is too large");
  return static_cast<int>(value);
}

CoreKind read_kind(JsonReader& reader) {
  CoreKind kind{reader.text("name"), read_cpus(reader, "cpus"), reader.number("relative_speed"),
                reader.text("model")};
  if (kind.cpus.empty()) reader.fail("cpus", "is empty: a kind has at least one CPU");
  if (kind.relative_speed <= 0) {
    reader.fail("relative_speed", fmt::format("is {}, more than 0 is needed", kind.relative_speed));
  }
  return kind;
}

Cache read_cache(JsonReader& reader) {
  return {read_int(reader, "level"), reader.text("type"), read_bytes(reader, "bytes"),
          read_cpus(reader, "cpus")};
}

NumaNode read_numa_node(JsonReader& reader) {
  return {read_int(reader, "index"), read_bytes(reader, "memory_bytes"), read_cpus(reader, "cpus")};
}

Gpu read_gpu(JsonReader& reader) {
  return {reader.text("name"), reader.text("api"), read_bytes(reader, "memory_bytes"),
          reader.boolean("runs_on_cpu")};
}

Warning read_warning(JsonReader& reader) { return {reader.text("tag"), reader.text("message")}; }

Limits read_limits(JsonReader reader) {
  Limits limits;
  limits.allowed_cpus = read_cpus(reader, "allowed_cpus");
  if (!reader.any("cpu_quota").is_null()) limits.cpu_quota = reader.non_negative("cpu_quota");
  if (!reader.any("memory_limit_bytes").is_null()) {
    limits.memory_limit_bytes = read_bytes(reader, "memory_limit_bytes");
  }
  reader.finish();
  return limits;
}

OperatingPoint read_operating_point(JsonReader& reader) {
  return {read_int(reader, "mhz"), reader.non_negative("volts"), reader.non_negative("watts")};
}

BoardCores read_board_cores(JsonReader& reader) {
  return {reader.text("model"), read_cpus(reader, "cpus"), read_int(reader, "max_mhz"),
          read_list(reader, "operating_points", read_operating_point), reader.text("source")};
}

BoardFacts read_board(JsonReader reader) {
  BoardFacts board{reader.text("soc"),
                   reader.texts("products"),
                   read_list(reader, "cores", read_board_cores),
                   reader.text("memory_source"),
                   reader.text("caches_source"),
                   reader.texts("gpu_sources")};
  reader.finish();
  return board;
}

std::vector<std::vector<int>> read_cores(JsonReader& reader) {
  std::vector<std::vector<int>> cores;
  for (const auto& siblings : reader.array("cores")) {
    cores.push_back(cpus_of(siblings, reader, "cores"));
    if (cores.back().empty()) reader.fail("cores", "has a core without a CPU");
  }
  return cores;
}

void check_kinds(JsonReader& reader, const Topology& topology) {
  if (topology.kinds.empty()) reader.fail("kinds", "is empty: a machine has at least one kind");
  std::set<int> seen;
  for (const CoreKind& kind : topology.kinds) {
    for (const int cpu : kind.cpus) {
      if (!seen.insert(cpu).second) reader.fail("kinds", fmt::format("names CPU {} twice", cpu));
    }
  }
}

}  // namespace

std::string to_json(const Topology& topology) {
  ordered_json document = {{"format", kFormat},
                           {"version", kVersion},
                           {"source", topology.source},
                           {"machine", topology.machine},
                           {"kinds", list(topology.kinds, write_kind)},
                           {"cores", topology.cores},
                           {"caches", list(topology.caches, write_cache)},
                           {"numa_nodes", list(topology.numa_nodes, write_numa_node)},
                           {"memory_bytes", topology.memory_bytes},
                           {"memory_available_bytes", topology.memory_available_bytes},
                           {"gpus", list(topology.gpus, write_gpu)},
                           {"limits", write_limits(topology.limits)},
                           {"warnings", list(topology.warnings, write_warning)}};
  if (topology.board) document["board"] = write_board(*topology.board);
  return document.dump(2) + "\n";
}

Topology topology_from_json(std::string_view text) {
  const auto document = JsonReader::parse(text, "topology", "topology");
  JsonReader reader(document, "topology", "topology", "");
  check_format(reader, kFormat, kVersion);
  Topology topology;
  topology.source = reader.text("source");
  topology.machine = reader.text("machine");
  topology.kinds = read_list(reader, "kinds", read_kind);
  topology.cores = read_cores(reader);
  topology.caches = read_list(reader, "caches", read_cache);
  topology.numa_nodes = read_list(reader, "numa_nodes", read_numa_node);
  topology.memory_bytes = read_bytes(reader, "memory_bytes");
  topology.memory_available_bytes = read_bytes(reader, "memory_available_bytes");
  topology.gpus = read_list(reader, "gpus", read_gpu);
  topology.limits = read_limits(reader.child("limits"));
  topology.warnings = read_list(reader, "warnings", read_warning);
  if (reader.has("board")) topology.board = read_board(reader.child("board"));
  reader.finish();
  check_kinds(reader, topology);
  return topology;
}

}  // namespace millrace
