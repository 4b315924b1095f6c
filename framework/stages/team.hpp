#pragma once
// What the workers of a stage share while they run: a barrier and activations that all see.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <mutex>

#include "framework/stages/barrier.hpp"

namespace millrace {

/// Buffers that several workers write parts of. Every worker asks for the same ones in the same
/// order, so the number of a request names the buffer. Thread-safe.
class SharedBuffers {
 public:
  explicit SharedBuffers(int workers) : workers_(workers) {}

  /// Buffer `number`, uninitialised float32 [rows, columns], made for the first worker that asks;
  /// forgotten here when the last one has.
  at::Tensor get(std::int64_t number, std::int64_t rows, std::int64_t columns);

  /// Forgets what a cancelled step left.
  void clear();

 private:
  struct Entry {
    at::Tensor tensor;
    int taken = 0;
  };

  const int workers_;
  std::mutex mutex_;
  std::map<std::int64_t, Entry> entries_;
};

struct Team {
  explicit Team(int workers) : barrier(workers), buffers(workers) {}

  Barrier barrier;
  SharedBuffers buffers;
};

}  // namespace millrace
