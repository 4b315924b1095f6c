// The memory part of the cost model.

#include <algorithm>
#include <vector>

#include "framework/plan/cost_model.hpp"

namespace millrace {

/// Of a worker with `own` samples of a micro-batch of `whole`, all of which slices compute.
double CostModel::workspace_bytes(const StageShape& shape, std::int64_t own,
                                  std::int64_t whole) const {
  double largest = 0;
  const auto look = [&](int first, int last, std::int64_t samples) {
    sums_.cuts.visit_members(first, last, [&](int position) {
      const LayerCosts& costs = layer(position);
      largest = std::max(
          largest, costs.workspace_bytes + costs.workspace_bytes_per_sample * double(samples));
    });
  };
  look(shape.first, shape.last, own);
  look(shape.run.first, shape.run.last, whole);
  return largest;
}

double CostModel::input_bytes(const StageShape& shape) const {
  return sums_.cuts.border(shape.first).forward_bytes;
}

/// `saved`: what those of its layers save that are counted by the sample.
SavedBytes CostModel::saved_bytes(const StageShape& shape, double saved) const {
  if (shape.recompute) return {input_bytes(shape), saved};
  return shape.again ? partly_saved_bytes(shape) : SavedBytes{saved, 0};
}

/// Layers that follow each other are made again together, from what they read of others: the last
/// of them first, when all that was kept before them is still there.
SavedBytes CostModel::partly_saved_bytes(const StageShape& shape) const {
  double kept = 0, most = 0;
  std::vector<int> run;
  const auto end_run = [&] {
    if (run.empty()) return;
    RunReads reads(graph());
    double inputs = 0, samples = 0, saved = 0;
    for (const int position : run) {
      inputs = reads.add(position);
      (graph().reads_sample(position) ? samples : saved) += layer(position).saved_bytes;
    }
    kept += inputs + samples;
    const auto last = static_cast<std::size_t>(run.back());
    most = std::max(most, kept + saved + graph().run_end_bytes[last]);
    run.clear();
  };
  auto next = shape.again->begin();
  cuts().visit_members(shape.first, shape.last, [&](int position) {
    if (next != shape.again->end() && *next == position) {
      run.push_back(*next++);
      return;
    }
    end_run();
    kept += layer(position).saved_bytes;
  });
  end_run();
  return {kept, std::max(0.0, most - kept)};
}

void CostModel::add_memory(const StageShape& shape, const Batching& batching,
                           const ShareGroups& shares, StageCost& cost) const {
  const FeatureRun& run = shape.run;
  const double weights = sums_.weights_bytes.sum(shape.first, shape.last);
  const double gradients = sums_.gradient_bytes.sum(shape.first, shape.last);
  const double sliced = sums_.gradient_bytes.sum(run.first, run.last);
  const double saved = sums_.saved_bytes.sum(shape.first, shape.last);
  const int workers = replicas(shape);
  cost.fixed_bytes = profile_.bytes_per_weight_byte * weights;
  for (const ShareGroup& group : shares)
    cost.fixed_bytes += group.replicas * workspace_bytes(shape, group.samples, batching.full);
  if (profile_.training) {
    cost.fixed_bytes += gradients - weights + (workers - 1) * (gradients - sliced);
    cost.fixed_bytes += sums_.deferred_bytes.sum(shape.first, shape.last) * double(batching.batch);
  }
  const SavedBytes kept = saved_bytes(shape, saved);
  cost.fixed_bytes += kept.fixed * double(batching.full);
  cost.flight_bytes = kept.flight;
  cost.kept_bytes = weight_gradient_bytes(shape);
}

/// Slices keep nothing between backward and weight gradient: theirs is in the update.
double CostModel::weight_gradient_bytes(const StageShape& shape) const {
  if (!splits_backward()) return 0;
  return sums_.weight_gradient_bytes.sum(shape.first, shape.last) -
         sums_.weight_gradient_bytes.sum(shape.run.first, shape.run.last);
}

double CostModel::least_bytes(int first, int last) const {
  const double weights = sums_.weights_bytes.sum(first, last);
  const double gradients = sums_.gradient_bytes.sum(first, last);
  return profile_.bytes_per_weight_byte * weights +
         (profile_.training ? gradients - weights : 0);  // none of deferred weight gradients
}

double CostModel::memory_bytes(const StageCost& cost, const Batching& batching,
                               const InFlight& in_flight) {
  const auto samples = [&](int micro_batches) {
    return double(std::min(batching.batch, micro_batches * batching.full));
  };
  return cost.fixed_bytes + cost.flight_bytes * samples(in_flight.backward) +
         cost.kept_bytes * samples(in_flight.weights);
}

double CostModel::device_bytes(const StageShape& shape, const Batching& batching,
                               const ShareGroup& group, const InFlight& in_flight) const {
  const FeatureRun& run = shape.run;
  const double part = shape.run.empty() ? 1 : feature_part(shape, group.kind, batching.full);
  const auto whole_and_sliced = [&](const NumberSums& sums) {
    const double sliced = sums.sum(run.first, run.last);
    return std::pair(sums.sum(shape.first, shape.last) - sliced, sliced * part);
  };
  const auto [weights, sliced_weights] = whole_and_sliced(sums_.weights_bytes);
  const auto [gradients, sliced_gradients] = whole_and_sliced(sums_.gradient_bytes);
  const auto [saved, sliced_saved] = whole_and_sliced(sums_.saved_bytes);
  const auto [deferred, sliced_deferred] = whole_and_sliced(sums_.deferred_bytes);
  const double own_weights = weights + sliced_weights;
  const double fixed = profile_.bytes_per_weight_byte * own_weights +
                       workspace_bytes(shape, group.samples, batching.full) +
                       (profile_.training ? gradients + sliced_gradients - own_weights : 0);
  const double full = double(batching.full), all_batches = double(batching.batch) / full;
  const auto in_whole_ones = [&](int count) {
    return double(std::min(batching.batch, count * batching.full)) / full;
  };
  const double micro_batches = in_whole_ones(in_flight.backward);
  const double waiting = weight_gradient_bytes(shape) * in_whole_ones(in_flight.weights);
  const double own = double(group.samples);
  const SavedBytes kept = saved_bytes(shape, saved);
  const double sliced = sliced_saved * full * (shape.recompute ? 1 : micro_batches);
  const double flight = (kept.fixed + kept.flight * micro_batches) * own + sliced;
  return fixed + flight + waiting * own + (deferred * own + sliced_deferred * full) * all_batches;
}

std::optional<BrokenBudget> CostModel::broken_budget(const StageShape& shape,
                                                     const Batching& batching,
                                                     const ShareGroups& shares,
                                                     const InFlight& in_flight) const {
  for (const ShareGroup& group : shares) {
    const DeviceKind& kind = profile_.kinds[group.kind];
    if (!kind.memory_bytes) continue;
    const double needed = device_bytes(shape, batching, group, in_flight);
    if (needed > *kind.memory_bytes) return BrokenBudget{kind.name, needed, *kind.memory_bytes};
  }
  return std::nullopt;
}

}  // namespace millrace
