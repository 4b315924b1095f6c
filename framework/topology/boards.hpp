#pragma once
// The boards that come with Millrace: boards/NAME/board.json beside boards/NAME/topology.xml.

#include <filesystem>
#include <string>
#include <vector>

#include "millrace/topology.hpp"

namespace millrace {

struct Board {
  std::filesystem::path topology_file;  ///< hwloc XML
  std::int64_t memory_bytes = 0;
  std::vector<Gpu> gpus;
  BoardFacts facts;
};

/// Throws ConfigError (tag "board") for a name that is not a board, naming those that are, and
/// where board.json is not what boards/README.md says.
Board read_board(const std::string& name);

}  // namespace millrace
