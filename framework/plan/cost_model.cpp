#include "framework/plan/cost_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

/// Reading weights, gradients and momentum and writing two of them back is what an update does;
/// adding one more gradient to a sum is taken for a third of that.
constexpr double kReducePart = 1.0 / 3;

/// The search's tables have a row for each state and a column for each cut, about 120 bytes for
/// each pair.
constexpr int kMostPairs = 4'000'000;

void take_slower(MicroBatchTimes& slowest, const MicroBatchTimes& other) {
  slowest.forward_ns = std::max(slowest.forward_ns, other.forward_ns);
  slowest.backward_ns = std::max(slowest.backward_ns, other.backward_ns);
  slowest.input_gradient_ns = std::max(slowest.input_gradient_ns, other.input_gradient_ns);
  slowest.weight_gradient_ns = std::max(slowest.weight_gradient_ns, other.weight_gradient_ns);
  LinkTimes& links = slowest.links;
  links.in_forward_ns = std::max(links.in_forward_ns, other.links.in_forward_ns);
  links.out_forward_ns = std::max(links.out_forward_ns, other.links.out_forward_ns);
  links.in_backward_ns = std::max(links.in_backward_ns, other.links.in_backward_ns);
  links.out_backward_ns = std::max(links.out_backward_ns, other.links.out_backward_ns);
}

double link_ns(const DeviceKind& kind, double bytes, int tensors, std::int64_t samples) {
  if (samples == 0) return 0;
  return bytes * double(samples) * kind.link_ns_per_byte + tensors * kind.link_latency_ns;
}

std::vector<int> checked_counts(const Profile& profile, const std::vector<int>& counts) {
  if (profile.kinds.size() > kMostKinds) {
    throw ConfigError("plan", fmt::format("the costs name {} kinds of devices, at most {} are "
                                          "planned: leave out kinds that are not used",
                                          profile.kinds.size(), kMostKinds));
  }
  return counts;
}

}  // namespace

CostModel::CostModel(const Profile& profile, const std::vector<int>& counts, Objective objective)
    : profile_(profile),
      objective_(objective),
      states_(checked_counts(profile, counts)),
      sums_(profile, std::min(Cuts::kMost, kMostPairs / states_.size())) {}

bool CostModel::others_busy(const StageShape& shape, int team) const {
  return !shape.sole || states_.devices(shape.state) > team;
}

int CostModel::replicas(const StageShape& shape) const {
  return states_.devices(shape.state) / shape.width;
}

StageShape CostModel::shape(int first, int last, int state, Split split, int width,
                            bool sole) const {
  StageShape shape{first, last, state, split, width, false, sole, {}, {}, {}};
  if (split == Split::features) shape.run = feature_run(first, last, state);
  return shape;
}

LinkTimes CostModel::link_times(const StageShape& shape, int kind, std::int64_t samples) const {
  const DeviceKind& device = profile_.kinds[kind];
  if (device.link_ns_per_byte == 0 && device.link_latency_ns == 0) return {};
  const Border& in = sums_.cuts.border(shape.first);
  const Border& out = sums_.cuts.border(shape.last);
  return {link_ns(device, in.forward_bytes, in.forward_tensors, samples),
          link_ns(device, out.forward_bytes, out.forward_tensors, samples),
          link_ns(device, out.backward_bytes, out.backward_tensors, samples),
          link_ns(device, in.backward_bytes, in.backward_tensors, samples)};
}

MicroBatchTimes CostModel::replica_times(const StageShape& shape, int kind, std::int64_t samples,
                                         std::int64_t whole) const {
  MicroBatchTimes times;
  const auto add = [&](const PassSums& sums, int first, int last, std::int64_t count) {
    const SamplePoint point = sample_point(profile_.samples, double(count));
    times.forward_ns += sums.forward.ns(first, last, point);
    times.backward_ns += sums.backward.ns(first, last, point);
    if (!splits_backward()) return;
    times.input_gradient_ns += sums.input_gradient.ns(first, last, point);
    times.weight_gradient_ns += sums.weight_gradient.ns(first, last, point);
  };
  if (shape.split == Split::threads) {
    const LoadedSums& team = sums_.threads.at({kind, shape.width});
    add(team.get(others_busy(shape, shape.width)), shape.first, shape.last, samples);
  } else {
    const PassSums& single = sums_.singles[kind].get(others_busy(shape, 1));
    const FeatureRun& run = shape.run;
    if (run.empty()) {
      add(single, shape.first, shape.last, samples);
    } else {
      add(single, shape.first, run.first, samples);
      add(single, run.last, shape.last, samples);
    }
  }
  double again = shape.recompute ? times.forward_ns : 0;
  if (shape.again)
    for (const int position : *shape.again) again += forward_ns(shape, kind, samples, position);
  double transfers = 0;
  times.links = link_times(shape, kind, shape.split == Split::features ? whole : samples);
  if (!profile_.overlapped_transfers) {
    times.forward_ns += times.links.in_forward_ns + times.links.out_forward_ns;
    transfers = times.links.in_backward_ns + times.links.out_backward_ns;
    times.links = {};
  }
  times.backward_ns += again;
  times.backward_ns += transfers;
  times.input_gradient_ns =
      splits_backward() ? times.input_gradient_ns + again + transfers : times.backward_ns;
  return times;
}

double CostModel::forward_ns(const StageShape& shape, int kind, std::int64_t samples,
                             int position) const {
  const bool team = shape.split == Split::threads;
  const LoadedSums& sums = team ? sums_.threads.at({kind, shape.width}) : sums_.singles[kind];
  return sums.get(others_busy(shape, shape.width))
      .forward.ns(cuts().prefix(position), cuts().prefix(position + 1),
                  sample_point(profile_.samples, double(samples)));
}

double CostModel::load_ns(const MicroBatchTimes& times) const {
  return std::max({times.forward_ns + times.backward_ns,
                   times.links.in_forward_ns + times.links.in_backward_ns,
                   times.links.out_forward_ns + times.links.out_backward_ns});
}

ShareGroups CostModel::even_shares(const StageShape& shape, std::int64_t samples) const {
  ShareGroups groups;
  const int all = replicas(shape);
  int done = 0;
  for (int kind = 0; kind < states_.kinds(); ++kind) {
    const int here = states_.count(shape.state, kind) / shape.width;
    const auto larger = static_cast<int>(
        std::clamp<std::int64_t>(samples % all - done, 0, here));  // replicas with one sample more
    groups.add(kind, larger, samples / all + 1);
    groups.add(kind, here - larger, samples / all);
    done += here;
  }
  return groups;
}

ShareGroups CostModel::best_shares(const StageShape& shape, std::int64_t samples) const {
  const bool all_sliced = shape.run == FeatureRun{shape.first, shape.last};
  if (all_sliced || states_.single_kind(shape.state) >= 0) return even_shares(shape, samples);
  std::array<int, kMostKinds> counts{};
  for (int kind = 0; kind < states_.kinds(); ++kind) {
    counts[kind] = states_.count(shape.state, kind);
  }
  return ShareBalancer(counts, states_.kinds()).balance(samples, share_curves(shape));
}

std::array<ShareCurve, kMostKinds> CostModel::share_curves(const StageShape& shape) const {
  std::array<ShareCurve, kMostKinds> curves;
  for (int kind = 0; kind < states_.kinds(); ++kind) {
    if (states_.count(shape.state, kind) == 0) continue;
    ShareCurve& curve = curves[kind];
    curve.samples = &profile_.samples;
    curve.sums = &sums_.singles[kind].get(others_busy(shape, 1));
    curve.first = shape.first;
    curve.last = shape.last;
    curve.sliced_first = shape.run.first;
    curve.sliced_last = shape.run.last;
    curve.forwards = shape.recompute ? 2 : 1;
    const auto [in, out] = link_lines(shape, kind);
    if (!profile_.overlapped_transfers) {
      curve.added = {in.ns_per_sample + out.ns_per_sample, in.constant_ns + out.constant_ns};
    } else if (objective_ == Objective::period) {
      curve.floors[0] = in;
      curve.floors[1] = out;
    }
  }
  return curves;
}

/// What enters and what leaves a device of the stage, both passes.
std::pair<Line, Line> CostModel::link_lines(const StageShape& shape, int kind) const {
  const DeviceKind& device = profile_.kinds[kind];
  const auto line = [&](const Border& activations, const Border& gradients) {
    return Line{
        (activations.forward_bytes + gradients.backward_bytes) * device.link_ns_per_byte,
        (activations.forward_tensors + gradients.backward_tensors) * device.link_latency_ns};
  };
  const Border& first = sums_.cuts.border(shape.first);
  const Border& last = sums_.cuts.border(shape.last);
  return {line(first, last), line(last, first)};
}

MicroBatchTimes CostModel::slowest(const StageShape& shape, const Batching& batching,
                                   const ShareGroups& shares, std::int64_t samples) const {
  MicroBatchTimes result;
  const auto visit = [&](const ShareGroup& group) {
    take_slower(result, replica_times(shape, group.kind, group.samples, samples));
  };
  if (samples == batching.full) {
    for (const ShareGroup& group : shares) visit(group);
  } else {
    visit_shares_of(shares, batching.full, samples, visit);
  }
  add_slices(shape, batching.full, samples, result);
  return result;
}

std::vector<double> CostModel::update_parts(const StageShape& shape) const {
  const auto& updates = others_busy(shape, 1) ? sums_.update_loaded : sums_.update_alone;
  std::vector<double> parts(static_cast<std::size_t>(states_.kinds()), 0);
  double speed = 0;  // of all devices
  bool known = true;
  for (int kind = 0; kind < states_.kinds(); ++kind) {
    const int count = states_.count(shape.state, kind);
    if (count == 0) continue;
    const double ns = updates[kind].sum(shape.first, shape.last);
    known = known && ns > 0;
    parts[kind] = 1 / ns;
    speed += count / ns;
  }
  for (double& part : parts) part = known ? part / speed : 1.0 / states_.devices(shape.state);
  return parts;
}

double CostModel::divided_ns(const std::vector<NumberSums>& sums, const std::vector<double>& parts,
                             const StageShape& shape, int first, int last) const {
  double slowest = 0;
  for (int kind = 0; kind < states_.kinds(); ++kind) {
    if (states_.count(shape.state, kind) > 0)
      slowest = std::max(slowest, parts[kind] * sums[kind].sum(first, last));
  }
  return slowest;
}

void CostModel::add_step_end(const StageShape& shape, StageCost& cost) const {
  if (!profile_.training) return;
  const bool loaded = others_busy(shape, 1);
  const auto& updates = loaded ? sums_.update_loaded : sums_.update_alone;
  const auto& reductions = loaded ? sums_.reduce_loaded : sums_.reduce_alone;
  const std::vector<double> parts = update_parts(shape);
  cost.update_ns = divided_ns(updates, parts, shape, shape.first, shape.last);
  const int others = replicas(shape) - 1;
  if (others == 0) return;
  const FeatureRun& run = shape.run;
  const double reduced = run.empty()
                             ? divided_ns(reductions, parts, shape, shape.first, shape.last)
                             : divided_ns(reductions, parts, shape, shape.first, run.first) +
                                   divided_ns(reductions, parts, shape, run.last, shape.last);
  cost.reduce_ns = kReducePart * others * reduced;
}

double CostModel::load_ns(const StageShape& shape, const Batching& batching,
                          const ShareGroups& shares) const {
  double largest = 0;
  for (const ShareGroup& group : shares) {
    MicroBatchTimes times = replica_times(shape, group.kind, group.samples, batching.full);
    add_slices(shape, batching.full, batching.full, times);
    largest = std::max(largest, load_ns(times));
  }
  return largest;
}

StageCost CostModel::cost(const StageShape& shape, const Batching& batching,
                          const ShareGroups& shares) const {
  StageCost cost;
  cost.full = slowest(shape, batching, shares, batching.full);
  cost.rest =
      batching.rest == batching.full ? cost.full : slowest(shape, batching, shares, batching.rest);
  if (objective_ == Objective::period) cost.load_ns = load_ns(shape, batching, shares);
  add_step_end(shape, cost);
  add_memory(shape, batching, shares, cost);
  return cost;
}

LeastTimes CostModel::least_ns_per_sample(int position, int kind, std::int64_t most, bool sole,
                                          const BackwardForms& forms) const {
  const int first_cut = sums_.cuts.prefix(position), last_cut = sums_.cuts.prefix(position + 1);
  const bool apart = forms.apart && splits_backward();
  const bool sliced = states_.kinds() > 1 && sums_.sliceable.members[position];
  const bool whole = forms.whole || !apart || sliced;  // slices' backward part is always whole
  LeastTimes least;
  const auto offer = [&](double compute, double back) {
    least.compute_ns = std::min(least.compute_ns, compute);
    least.back_ns = std::min(least.back_ns, back);
  };
  const auto take_passes = [&](const PassSums& passes, int devices) {
    const auto ns = [&](const CurveSums& curve) {
      return curve.least_ns_per_sample(first_cut, last_cut, profile_.samples, most);
    };
    const double forward = ns(passes.forward);
    if (whole) {
      const double all = devices * (forward + ns(passes.backward));
      offer(all, all);
    }
    if (!apart) return;
    const double trip = devices * (forward + ns(passes.input_gradient));
    const double weights = devices * ns(passes.weight_gradient);
    offer(trip + weights, trip + forms.early_weights * weights);
  };
  const auto take = [&](const LoadedSums& sums, int devices) {
    if (!sums.alone.covers(first_cut, last_cut)) return;
    take_passes(sums.loaded, devices);
    if (sole) take_passes(sums.alone, devices);  // a pipeline always has another core busy
  };
  take(sums_.singles[kind], 1);
  const auto first = std::make_pair(kind, 0), end = std::make_pair(kind + 1, 0);
  for (auto i = sums_.threads.lower_bound(first); i != sums_.threads.lower_bound(end); ++i) {
    take(i->second, i->first.second);
  }
  for (auto i = sums_.features.lower_bound(first); i != sums_.features.lower_bound(end); ++i) {
    take(i->second.times, i->first.second);
  }
  return least;
}

double CostModel::least_update_ns(int position, int kind, bool sole) const {
  const int first = sums_.cuts.prefix(position), last = sums_.cuts.prefix(position + 1);
  const double loaded = sums_.update_loaded[kind].sum(first, last);
  return sole ? std::min(loaded, sums_.update_alone[kind].sum(first, last)) : loaded;
}

}  // namespace millrace
