#pragma once

#include <chrono>
#include <cstdint>

namespace millrace {

/// Ns on the steady clock.
inline std::int64_t steady_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace millrace
