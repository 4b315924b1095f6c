#pragma once
// How a stage is run, and how a step is cut.

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "framework/plan/layer_sums.hpp"
#include "framework/plan/shares.hpp"
#include "millrace/plan.hpp"

namespace millrace {

/// How a step is cut: `count` micro-batches of `full` samples, the last one of `rest`.
struct Batching {
  std::int64_t batch = 0, full = 0, count = 0, rest = 0;

  Batching(std::int64_t batch_samples, std::int64_t micro_batch)
      : batch(batch_samples),
        full(micro_batch),
        count((batch_samples + micro_batch - 1) / micro_batch),
        rest(batch_samples - (count - 1) * micro_batch) {}
};

/// One way to run a stage's layers on a set of devices; made by CostModel::shape.
struct StageShape {
  int first = 0, last = 0;  ///< cuts
  int state = 0;            ///< of DeviceStates, not empty
  Split split = Split::samples;
  int width = 1;           ///< threads of a replica
  bool recompute = false;  ///< of all layers
  bool sole = false;       ///< the plan has no other stage
  FeatureRun run;          ///< empty unless split by features
  /// Part of the features that a device computes, by kind, where a plan says; null: by the costs.
  std::shared_ptr<const std::array<double, kMostKinds>> parts;
  /// Recomputed where not all are: positions, ascending; null: none.
  std::shared_ptr<const std::vector<int>> again;

  bool operator==(const StageShape&) const = default;
};

}  // namespace millrace
