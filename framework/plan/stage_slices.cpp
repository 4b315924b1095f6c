// The part of the cost model for layers that are divided by output features.

#include <algorithm>

#include "framework/plan/cost_model.hpp"

namespace millrace {

bool CostModel::shares_memory(int state) const {
  for (int kind = 0; kind < states_.kinds(); ++kind) {
    const DeviceKind& device = profile_.kinds[kind];
    const bool apart =
        device.memory_bytes || device.link_ns_per_byte > 0 || device.link_latency_ns > 0;
    if (apart && states_.count(state, kind) > 0) return false;
  }
  return true;
}

/// What Split::features divides: of the stage's layers in their order the first maximal run that
/// starts at a layer of type "linear" and whose layers all list "features", and have features_ns
/// for the devices of `state` where these are of one kind.
FeatureRun CostModel::feature_run(int first, int last, int state) const {
  const int kind = states_.single_kind(state);
  if (kind < 0)
    return shares_memory(state) ? sums_.sliceable.run(sums_.cuts, first, last) : FeatureRun{};
  const auto found = sums_.features.find({kind, states_.devices(state)});
  return found == sums_.features.end() ? FeatureRun{}
                                       : found->second.layers.run(sums_.cuts, first, last);
}

double CostModel::feature_part(const StageShape& shape, int kind, std::int64_t samples) const {
  if (shape.parts) return (*shape.parts)[kind];
  const int devices = states_.devices(shape.state);
  if (states_.single_kind(shape.state) >= 0) return 1.0 / devices;
  const SamplePoint point = sample_point(profile_.samples, double(samples));
  const auto ns = [&](int k) {
    const PassSums& sums = sums_.singles[k].get(others_busy(shape, 1));
    return sums.forward.ns(shape.run.first, shape.run.last, point) +
           sums.backward.ns(shape.run.first, shape.run.last, point);
  };
  double speed = 0;
  for (int k = 0; k < states_.kinds(); ++k) {
    if (states_.count(shape.state, k) == 0) continue;
    if (ns(k) <= 0) return 1.0 / devices;
    speed += states_.count(shape.state, k) / ns(k);
  }
  return 1 / ns(kind) / speed;
}

std::pair<double, double> CostModel::slices_ns(const StageShape& shape, int kind, std::int64_t full,
                                               std::int64_t samples) const {
  const FeatureRun& run = shape.run;
  const SamplePoint point = sample_point(profile_.samples, double(samples));
  const auto ns = [&](const PassSums& sums, double part) {
    return std::pair(part * sums.forward.ns(run.first, run.last, point),
                     part * sums.backward.ns(run.first, run.last, point));
  };
  const int devices = states_.devices(shape.state);
  const double part = feature_part(shape, kind, full);
  if (states_.single_kind(shape.state) < 0)
    return ns(sums_.singles[kind].get(others_busy(shape, 1)), part);
  return ns(sums_.features.at({kind, devices}).times.get(others_busy(shape, devices)),
            part * devices);
}

void CostModel::add_slices(const StageShape& shape, std::int64_t full, std::int64_t samples,
                           MicroBatchTimes& times) const {
  if (shape.run.empty()) return;
  double forward = 0, backward = 0;
  for (int kind = 0; kind < states_.kinds(); ++kind) {
    if (states_.count(shape.state, kind) == 0) continue;
    const auto [own_forward, own_backward] = slices_ns(shape, kind, full, samples);
    forward = std::max(forward, own_forward);
    backward = std::max(backward, own_backward);
  }
  if (shape.recompute) backward += forward;
  times.forward_ns += forward;
  times.backward_ns += backward;
  times.input_gradient_ns += backward;  // the weights' is in the update
}

}  // namespace millrace
