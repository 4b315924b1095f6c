#include "framework/plan/layer_bound.hpp"

#include <utility>

namespace millrace {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The largest of even shares.
std::int64_t divided(std::int64_t samples, int replicas) {
  return (samples + replicas - 1) / replicas;
}

const LayerBound::Times& at(const LayerBound::Curve& curve, std::int64_t samples) {
  return curve[static_cast<std::size_t>(samples - 1)];
}

/// For one sample, by how many there are at the most.
LayerBound::Curve least_each(const LayerBound::Curve& curve) {
  LayerBound::Curve result;
  for (const LayerBound::Times& times : curve) {
    LayerBound::Times each = times * (1 / double(result.size() + 1));
    if (!result.empty()) each.take(result.back());
    result.push_back(each);
  }
  return result;
}

}  // namespace

LayerBound::Times LayerBound::Times::operator*(double factor) const {
  return {forward_ns * factor, trip_ns * factor, back_ns * factor, all_ns * factor};
}

void LayerBound::Times::take(const Times& other) {
  forward_ns = std::min(forward_ns, other.forward_ns);
  trip_ns = std::min(trip_ns, other.trip_ns);
  back_ns = std::min(back_ns, other.back_ns);
  all_ns = std::min(all_ns, other.all_ns);
}

LayerBound::LayerBound(const CostModel& model, const Batching& batching, const BackwardForms& forms)
    : model_(model),
      states_(model.states()),
      batching_(batching),
      forms_(forms),
      apart_(forms.apart && model.splits_backward()) {
  for (std::int64_t x = 1; x <= batching.full; ++x)
    points_.push_back(sample_point(model.profile().samples, double(x)));
  if (batching.count > 1)
    early_ =
        forms.early_weights * double(batching.batch) / double(batching.full * (batching.count - 1));
}

void LayerBound::choose(int position) {
  position_ = position;
  const LayerSums& sums = model_.sums();
  whole_only_ = sums.whole_only.sum(before(), behind()) > 0;
  sliceable_ = sums.sliceable.members[static_cast<std::size_t>(position)];
  for (int kind = 0; kind < states_.kinds(); ++kind) {
    const auto k = static_cast<std::size_t>(kind);
    singles_[k] = curve(sums.singles[k], forms_.whole || sliceable_, apart_);
    least_each_[k] = least_each(singles_[k]);
    updates_[k] = sums.update_loaded[k].sum(before(), behind());
    threads_[k] = team_curves(sums.threads, kind, [&](const LoadedSums& team) {
      return curve(team, forms_.whole, apart_);
    });
    features_[k] = team_curves(sums.features, kind, [&](const FeatureSums& team) {
      return curve(team.times, true, false);  // slices' backward part is whole
    });
  }
}

LeastStage LayerBound::least(int state) const {
  const Times full = times(state, batching_.full);
  const Times rest = batching_.rest == batching_.full ? full : times(state, batching_.rest);
  if (full.forward_ns == kInfinity) return {{0, {}, 1}, 0, 0, 0};
  const auto others = double(batching_.count - 1);
  return {{full.forward_ns, {full.trip_ns, rest.trip_ns}, 0},
          others * full.back_ns + rest.trip_ns,
          others * full.all_ns + rest.all_ns,
          update_ns(state)};
}

/// Of a full micro-batch every replica has a sample.
LayerBound::Times LayerBound::times(int state, std::int64_t samples) const {
  const int devices = states_.devices(state), kind = states_.single_kind(state);
  Times least;
  if (devices == 1 || !whole_only_) least.take(shared(state, samples));
  if (devices == 1) return least;
  if (kind < 0) {
    if (sliceable_ && model_.shares_memory(state)) least.take(sliced(state, samples));
    return least;
  }
  const auto k = static_cast<std::size_t>(kind);
  for (const auto& [width, curve] : threads_[k]) {
    const int replicas = devices / width;
    if (devices % width == 0 && (replicas == 1 || !whole_only_))
      least.take(at(curve, divided(samples, replicas)));
  }
  for (const auto& [width, curve] : features_[k])
    if (width == devices) least.take(at(curve, samples));
  return least;
}

/// Empty where the layer cannot run so. Pipelines keep other cores busy. The backward part may be
/// `whole`, or the weights' gradients apart where the costs are known so.
LayerBound::Curve LayerBound::curve(const LoadedSums& sums, bool whole, bool apart) const {
  if (!sums.alone.covers(before(), behind())) return {};
  Curve result(points_.size());
  // By pass: the first forward has a full micro-batch where the last backward may have less.
  double forward = kInfinity, backward = kInfinity, inputs = kInfinity, weights = kInfinity;
  for (std::size_t i = points_.size(); i-- > 0;) {
    const auto take = [&](const CurveSums& pass, double& ns) {
      ns = std::min(ns, pass.ns(before(), behind(), points_[i]));
    };
    take(sums.loaded.forward, forward);
    result[i].forward_ns = forward;
    if (whole || !apart) {
      take(sums.loaded.backward, backward);
      result[i].trip_ns = result[i].back_ns = result[i].all_ns = forward + backward;
    }
    if (!apart) continue;
    take(sums.loaded.input_gradient, inputs);
    take(sums.loaded.weight_gradient, weights);
    const double trip = forward + inputs;
    result[i].take({forward, trip, trip + early_ * weights, trip + weights});
  }
  return result;
}

template <typename Teams, typename Make>
std::vector<LayerBound::TeamCurve> LayerBound::team_curves(const Teams& teams, int kind,
                                                           const Make& make) const {
  std::vector<TeamCurve> result;
  for (auto i = teams.lower_bound({kind, 0}); i != teams.lower_bound({kind + 1, 0}); ++i) {
    Curve made = make(i->second);
    if (!made.empty()) result.push_back({i->first.second, std::move(made)});
  }
  return result;
}

/// Among replicas of one device each, of which a full micro-batch has a sample for each.
LayerBound::Times LayerBound::shared(int state, std::int64_t samples) const {
  const int devices = states_.devices(state), kind = states_.single_kind(state);
  const std::int64_t most = std::min(samples, batching_.full - devices + 1);  // of one replica
  if (most < 1 || !runs_alone(state)) return {};
  if (kind >= 0) return at(singles_[static_cast<std::size_t>(kind)], divided(samples, devices));
  return together(state, [&](int k) {
    return at(least_each_[static_cast<std::size_t>(k)], most) * double(samples);
  });
}

/// With slices of the output features.
LayerBound::Times LayerBound::sliced(int state, std::int64_t samples) const {
  if (!runs_alone(state)) return {};
  return together(state, [&](int k) { return at(singles_[static_cast<std::size_t>(k)], samples); });
}

/// One device of each kind of the state can.
bool LayerBound::runs_alone(int state) const {
  for (int k = 0; k < states_.kinds(); ++k)
    if (states_.count(state, k) > 0 && singles_[static_cast<std::size_t>(k)].empty()) return false;
  return true;
}

/// All devices at once, where ns(kind) are one device's for all of it. Such times of layers
/// may be added up: what divides all of them alike takes at least their sum.
template <typename Ns>
LayerBound::Times LayerBound::together(int state, const Ns& ns) const {
  Times speed{0, 0, 0, 0};
  for (int kind = 0; kind < states_.kinds(); ++kind) {
    const int count = states_.count(state, kind);
    if (count == 0) continue;
    const Times alone = ns(kind);
    speed.forward_ns += count / alone.forward_ns;
    speed.trip_ns += count / alone.trip_ns;
    speed.back_ns += count / alone.back_ns;
    speed.all_ns += count / alone.all_ns;
  }
  return {1 / speed.forward_ns, 1 / speed.trip_ns, 1 / speed.back_ns, 1 / speed.all_ns};
}

double LayerBound::update_ns(int state) const {
  double speed = 0;
  for (int kind = 0; kind < states_.kinds(); ++kind)
    if (const int count = states_.count(state, kind); count > 0)
      speed += count / updates_[static_cast<std::size_t>(kind)];
  return 1 / speed;
}

}  // namespace millrace
