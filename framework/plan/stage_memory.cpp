// The memory part of the cost model.

#include <algorithm>

#include "framework/plan/cost_model.hpp"

namespace millrace {

double CostModel::workspace_bytes(const StageShape& shape) const {
  double largest = 0;
  for (int p = shape.first; p < shape.last; ++p) {
    largest = std::max(largest, sums_.workspace_bytes[p]);
  }
  return largest;
}

double CostModel::input_bytes(const StageShape& shape) const {
  return sums_.chain.borders[shape.first].forward_bytes;
}

void CostModel::add_memory(const StageShape& shape, const Batching& batching,
                           StageCost& cost) const {
  const FeatureRun run = run_of(shape);
  const double weights = sums_.weights_bytes.sum(shape.first, shape.last);
  const double sliced = sums_.weights_bytes.sum(run.first, run.last);
  const double saved = sums_.saved_bytes.sum(shape.first, shape.last);
  const int workers = replicas(shape);
  cost.fixed_bytes = profile_.bytes_per_weight_byte * weights + workers * workspace_bytes(shape);
  if (profile_.training) cost.fixed_bytes += (workers - 1) * (weights - sliced);
  if (shape.recompute) cost.fixed_bytes += saved * double(batching.full);
  cost.flight_bytes = shape.recompute ? input_bytes(shape) : saved;
}

double CostModel::memory_bytes(const StageCost& cost, const Batching& batching, int in_flight) {
  const std::int64_t samples = std::min(batching.batch, in_flight * batching.full);
  return cost.fixed_bytes + cost.flight_bytes * double(samples);
}

std::optional<BrokenBudget> CostModel::broken_budget(const StageShape& shape,
                                                     const Batching& batching,
                                                     const ShareGroups& shares,
                                                     int in_flight) const {
  const FeatureRun run = run_of(shape);
  const auto slices = shape.split == Split::features ? states_.devices(shape.state) : 1;
  const double sliced_weights = sums_.weights_bytes.sum(run.first, run.last);
  const double sliced_saved = sums_.saved_bytes.sum(run.first, run.last);
  const double weights = sums_.weights_bytes.sum(shape.first, shape.last) - sliced_weights;
  const double saved = sums_.saved_bytes.sum(shape.first, shape.last) - sliced_saved;
  const double micro_batches =
      double(std::min(batching.batch, in_flight * batching.full)) / double(batching.full);
  for (const ShareGroup& group : shares) {
    const DeviceKind& kind = profile_.kinds[group.kind];
    if (!kind.memory_bytes) continue;
    const double own = double(group.samples);
    const double kept = saved * own + sliced_saved * double(batching.full) / slices;
    const double flight =
        shape.recompute ? kept + input_bytes(shape) * own * micro_batches : kept * micro_batches;
    const double needed = profile_.bytes_per_weight_byte * (weights + sliced_weights / slices) +
                          flight + workspace_bytes(shape);
    if (needed > *kind.memory_bytes) return BrokenBudget{kind.name, needed, *kind.memory_bytes};
  }
  return std::nullopt;
}

}  // namespace millrace
