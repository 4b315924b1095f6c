#include "framework/topology/boards.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>

#include "framework/base/file.hpp"
#include "framework/base/json_reader.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

using std::filesystem::path;

const char* const kTag = "board";

path boards_folder() {
  std::error_code ignored;
  if (const char* variable = std::getenv("MILLRACE_BOARDS")) {
    if (std::filesystem::is_directory(variable, ignored)) return variable;
    throw ConfigError(kTag, fmt::format("MILLRACE_BOARDS={} is no folder: name the folder that has "
                                        "one folder per board, or unset it",
                                        variable));
  }
  const path program = std::filesystem::read_symlink("/proc/self/exe", ignored);
  const path installed = program.parent_path().parent_path() / "share/millrace/boards";
  for (const path& folder : {installed, path(MILLRACE_SOURCE_BOARDS)}) {
    if (std::filesystem::is_directory(folder, ignored)) return folder;
  }
  throw ConfigError(kTag,
                    fmt::format("neither {} nor {} is a folder: name the folder of the boards "
                                "in MILLRACE_BOARDS",
                                installed.string(), MILLRACE_SOURCE_BOARDS));
}

OperatingPoint read_operating_point(JsonReader reader, double microwatts_per_mhz_volt2) {
  OperatingPoint point;
  point.mhz = static_cast<int>(reader.integer("mhz"));
  point.volts = reader.non_negative("volts");
  point.watts = 1e-6 * microwatts_per_mhz_volt2 * point.mhz * point.volts * point.volts;
  reader.finish();
  return point;
}

std::vector<OperatingPoint> read_power(JsonReader reader) {
  std::vector<OperatingPoint> points;
  const double coefficient = reader.non_negative("microwatts_per_mhz_volt2");
  for (std::size_t i = 0; i < reader.array("points").size(); ++i) {
    points.push_back(read_operating_point(reader.element("points", i), coefficient));
    if (i > 0 && points[i].mhz >= points[i - 1].mhz) {
      reader.fail("points", "are not ordered: put the fastest first");
    }
  }
  reader.finish();
  return points;
}

BoardCores read_cores(JsonReader reader) {
  BoardCores cores;
  cores.model = reader.text("model");
  cores.cpus = parse_cpu_list(reader.text("cpus"));
  cores.max_mhz = static_cast<int>(reader.integer("max_mhz"));
  if (reader.has("power")) cores.operating_points = read_power(reader.child("power"));
  cores.source = reader.text("source");
  reader.finish();
  return cores;
}

void read_gpu(JsonReader reader, Board& board) {
  Gpu gpu;
  gpu.name = reader.text("name");
  gpu.api = reader.text("api");
  if (gpu.api != "opencl" && gpu.api != "cuda") reader.fail("api", "is neither opencl nor cuda");
  gpu.memory_bytes = board.memory_bytes;  // an SoC's GPU shares the memory
  board.gpus.push_back(gpu);
  board.facts.gpu_sources.push_back(reader.text("source"));
  reader.finish();
}

std::int64_t read_memory(JsonReader reader, BoardFacts& facts) {
  const std::int64_t bytes = reader.integer("bytes");
  if (bytes <= 0) reader.fail("bytes", fmt::format("is {}, more than 0 is needed", bytes));
  facts.memory_source = reader.text("source");
  reader.finish();
  return bytes;
}

std::string read_source(JsonReader reader) {
  const std::string source = reader.text("source");
  reader.finish();
  return source;
}

}  // namespace

std::vector<std::string> board_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(boards_folder())) {
    if (std::filesystem::exists(entry.path() / "board.json")) {
      names.push_back(entry.path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

Board read_board(const std::string& name) {
  const std::vector<std::string> names = board_names();
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    throw ConfigError(kTag, fmt::format("\"{}\" is no board of {}: choose one of {}", name,
                                        boards_folder().string(), fmt::join(names, ", ")));
  }
  const path folder = boards_folder() / name;
  const path file = folder / "board.json";
  const auto document = JsonReader::parse(read_file(file, kTag), kTag, file.string());
  JsonReader reader(document, kTag, file.string(), "");
  check_format(reader, "millrace-board", 1);
  Board board;
  board.topology_file = folder / "topology.xml";
  board.facts.soc = reader.text("soc");
  board.facts.products = reader.texts("products");
  for (std::size_t i = 0; i < reader.array("cores").size(); ++i) {
    board.facts.cores.push_back(read_cores(reader.element("cores", i)));
  }
  board.memory_bytes = read_memory(reader.child("memory"), board.facts);
  for (std::size_t i = 0; i < reader.array("gpus").size(); ++i) {
    read_gpu(reader.element("gpus", i), board);
  }
  board.facts.caches_source = read_source(reader.child("caches"));
  reader.finish();
  return board;
}

}  // namespace millrace
