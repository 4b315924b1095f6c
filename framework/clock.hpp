#pragma once
// The clock of those who may read one, in the form that those who may not are given.

#include <chrono>

namespace millrace {

/// Seconds since a fixed moment.
inline double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace millrace
