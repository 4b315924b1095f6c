#include "framework/profile/board_costs.hpp"

#include <vector>

#include "framework/profile/kind_costs.hpp"

namespace millrace {
namespace {

constexpr double kMemoryShare = 0.9;  // the rest is the system's

}  // namespace

Profile board_costs(const Profile& measured, const Topology& board) {
  std::vector<KindOrigin> kinds;
  for (const CoreKind& kind : board.kinds)
    kinds.push_back({{kind.name, static_cast<int>(device_cpus(board, kind).size())},
                     measured.kinds.front().name,
                     kind.relative_speed});
  Profile result = costs_of_kinds(measured, kinds);
  result.shared_memory_bytes = kMemoryShare * static_cast<double>(board.memory_bytes);
  return result;
}

}  // namespace millrace
