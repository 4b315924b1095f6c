#pragma once
// Notices that the kernel will soon have no memory left for the run, before it kills.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "framework/topology/memory_state.hpp"

namespace millrace {

/// Not thread-safe.
class MemoryWatch {
 public:
  using Look = std::function<std::optional<MemoryState>()>;
  /// `look`: how much memory there is; empty: nobody looks.
  explicit MemoryWatch(Look look) : look_(std::move(look)) {}

  /// At a step's border: what says that the memory is nearly used up; empty where nothing does.
  /// Looks once a second, and waits for what was done last to take effect.
  std::optional<std::string> pressed(std::int64_t now_ns);
  /// What was done of it: another plan, or nothing, since none needs less. Then no one is told
  /// again.
  void answered(std::int64_t now_ns, bool by_a_plan);

  static constexpr double kLittleLeft = 0.03;  ///< of the limit: soon there is nothing
  /// With the limit hit since the last look, or all processes waiting for memory for so long.
  static constexpr double kSomeLeft = 0.1;
  static constexpr double kStalledPercent = 10;

 private:
  Look look_;
  std::int64_t next_ns_ = 0;  // look
  std::optional<MemoryState> last_;
};

}  // namespace millrace
