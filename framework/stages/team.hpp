#pragma once
// What the workers of a stage share while they run: a barrier, activations and sums that all see.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "framework/layers/layer_op.hpp"
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

/// What each worker hands to all of them.
class SharedValues {
 public:
  explicit SharedValues(int workers) : values_(static_cast<std::size_t>(workers)) {}

  /// Waits at `barrier` until every worker has called.
  std::vector<std::vector<double>> gather(int worker, std::vector<double> own, Barrier& barrier);

 private:
  std::vector<std::vector<double>> values_;  ///< by worker
};

struct Team {
  explicit Team(int workers);

  Barrier barrier;
  SharedBuffers buffers;
  SharedValues values;
  /// By worker, as its ops see them; null where there is one alone.
  std::vector<std::unique_ptr<Replicas>> replicas;
};

}  // namespace millrace
