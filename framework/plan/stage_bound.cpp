#include "framework/plan/stage_bound.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace millrace {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Time of one micro-batch.
struct Times {
  double forward_ns = kInfinity;
  double trip_ns = kInfinity;  ///< forward, and backward but for the weights
  double back_ns = kInfinity;  ///< with the early part of the weights' gradients
  double all_ns = kInfinity;

  Times operator*(double factor) const {
    return {forward_ns * factor, trip_ns * factor, back_ns * factor, all_ns * factor};
  }
  void take(const Times& other) {
    forward_ns = std::min(forward_ns, other.forward_ns);
    trip_ns = std::min(trip_ns, other.trip_ns);
    back_ns = std::min(back_ns, other.back_ns);
    all_ns = std::min(all_ns, other.all_ns);
  }
};

/// One layer run in one way, by its number of samples; none takes more time with fewer.
using Curve = std::vector<Times>;

struct TeamCurve {
  int width = 0;
  Curve curve;
};

/// What one layer takes at the least on a stage, whatever the stage's other layers would rather
/// have.
class LayerBound {
 public:
  LayerBound(const CostModel& model, const Batching& batching, const BackwardForms& forms)
      : model_(model),
        states_(model.states()),
        batching_(batching),
        forms_(forms),
        apart_(forms.apart && model.splits_backward()) {
    for (std::int64_t x = 1; x <= batching.full; ++x)
      points_.push_back(sample_point(model.profile().samples, double(x)));
    if (batching.count > 1)
      early_ = forms.early_weights * double(batching.batch) /
               double(batching.full * (batching.count - 1));
  }

  void choose(int position) {
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

  /// On all devices of the state.
  LeastStage least(int state) const {
    const Times full = times(state, batching_.full);
    const Times rest = batching_.rest == batching_.full ? full : times(state, batching_.rest);
    if (full.forward_ns == kInfinity) return {{0, {}, 1}, 0, 0};
    const auto others = double(batching_.count - 1);
    return {{full.forward_ns, {full.trip_ns, rest.trip_ns}, 0},
            others * full.back_ns + rest.trip_ns,
            others * full.all_ns + rest.all_ns + update_ns(state)};
  }

 private:
  /// Of a full micro-batch every replica has a sample.
  Times times(int state, std::int64_t samples) const {
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

  double update_ns(int state) const {
    double speed = 0;
    for (int kind = 0; kind < states_.kinds(); ++kind)
      if (const int count = states_.count(state, kind); count > 0)
        speed += count / updates_[static_cast<std::size_t>(kind)];
    return 1 / speed;
  }

  int before() const { return model_.cuts().prefix(position_); }
  int behind() const { return model_.cuts().prefix(position_ + 1); }

  /// The largest of even shares.
  static std::int64_t divided(std::int64_t samples, int replicas) {
    return (samples + replicas - 1) / replicas;
  }

  static const Times& at(const Curve& curve, std::int64_t samples) {
    return curve[static_cast<std::size_t>(samples - 1)];
  }

  /// Empty where the layer cannot run so. Pipelines keep other cores busy. The backward part may be
  /// `whole`, or the weights' gradients apart where the costs are known so.
  Curve curve(const LoadedSums& sums, bool whole, bool apart) const {
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

  /// For one sample, by how many there are at the most.
  static Curve least_each(const Curve& curve) {
    Curve result;
    for (const Times& times : curve) {
      Times each = times * (1 / double(result.size() + 1));
      if (!result.empty()) each.take(result.back());
      result.push_back(each);
    }
    return result;
  }

  template <typename Teams, typename Make>
  std::vector<TeamCurve> team_curves(const Teams& teams, int kind, const Make& make) const {
    std::vector<TeamCurve> result;
    for (auto i = teams.lower_bound({kind, 0}); i != teams.lower_bound({kind + 1, 0}); ++i) {
      Curve made = make(i->second);
      if (!made.empty()) result.push_back({i->first.second, std::move(made)});
    }
    return result;
  }

  /// Among replicas of one device each, of which a full micro-batch has a sample for each.
  Times shared(int state, std::int64_t samples) const {
    const int devices = states_.devices(state), kind = states_.single_kind(state);
    const std::int64_t most = std::min(samples, batching_.full - devices + 1);  // of one replica
    if (most < 1 || !runs_alone(state)) return {};
    if (kind >= 0) return at(singles_[static_cast<std::size_t>(kind)], divided(samples, devices));
    return together(state, [&](int k) {
      return at(least_each_[static_cast<std::size_t>(k)], most) * double(samples);
    });
  }

  /// With slices of the output features.
  Times sliced(int state, std::int64_t samples) const {
    if (!runs_alone(state)) return {};
    return together(state,
                    [&](int k) { return at(singles_[static_cast<std::size_t>(k)], samples); });
  }

  /// One device of each kind of the state can.
  bool runs_alone(int state) const {
    for (int k = 0; k < states_.kinds(); ++k)
      if (states_.count(state, k) > 0 && singles_[static_cast<std::size_t>(k)].empty())
        return false;
    return true;
  }

  /// All devices at once, where ns(kind, part) is one device's for all of it. Such times of layers
  /// may be added up: what divides all of them alike takes at least their sum.
  template <typename Ns>
  Times together(int state, const Ns& ns) const {
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

  const CostModel& model_;
  const DeviceStates& states_;
  const Batching& batching_;
  const BackwardForms& forms_;
  const bool apart_;
  std::vector<SamplePoint> points_;
  double early_ = 0;  // of the weights' gradients of all micro-batches but the last, the early ones
  int position_ = 0;
  std::array<Curve, kMostKinds> singles_, least_each_;
  std::array<double, kMostKinds> updates_{};
  std::array<std::vector<TeamCurve>, kMostKinds> threads_, features_;
  bool whole_only_ = false, sliceable_ = false;
};

void take(const LeastPassage& other, LeastPassage& least) {
  if (other.impossible > 0) return;
  if (least.impossible > 0) {
    least = other;
    return;
  }
  least.forward_ns = std::min(least.forward_ns, other.forward_ns);
  least.trip.full_ns = std::min(least.trip.full_ns, other.trip.full_ns);
  least.trip.last_ns = std::min(least.trip.last_ns, other.trip.last_ns);
}

/// Of each layer on those of a state's devices that take the least; by position and state, both.
std::vector<LeastPassage> on_any_devices(const DeviceStates& states,
                                         const std::vector<LeastStage>& own) {
  std::vector<LeastPassage> any;
  for (const LeastStage& stage : own) {
    const std::size_t i = any.size();
    const int state = static_cast<int>(i % static_cast<std::size_t>(states.size()));
    LeastPassage least = stage.passage;
    for (int kind = 0; kind < states.kinds(); ++kind) {
      if (states.count(state, kind) == 0 || states.devices(state) == 1) continue;
      take(any[i - static_cast<std::size_t>(states.state_of(kind, 1))], least);
    }
    any.push_back(least);
  }
  return any;
}

}  // namespace

LeastPassage& LeastPassage::operator+=(const LeastPassage& other) {
  forward_ns += other.forward_ns;
  trip.full_ns += other.trip.full_ns;
  trip.last_ns += other.trip.last_ns;
  impossible += other.impossible;
  return *this;
}

LeastPassage LeastPassage::operator-(const LeastPassage& other) const {
  const int between = impossible - other.impossible;
  if (between > 0) return {kInfinity, {kInfinity, kInfinity}, between};
  return {forward_ns - other.forward_ns,
          {trip.full_ns - other.trip.full_ns, trip.last_ns - other.trip.last_ns},
          0};
}

LeastStage& LeastStage::operator+=(const LeastStage& other) {
  passage += other.passage;
  back_ns += other.back_ns;
  total_ns += other.total_ns;
  return *this;
}

LeastStage LeastStage::operator-(const LeastStage& other) const {
  return {passage - other.passage, back_ns - other.back_ns, total_ns - other.total_ns};
}

void StageBound::set(const Batching& batching, const BackwardForms& forms) {
  const int states = model_.states().size();
  std::vector<LeastStage> own(static_cast<std::size_t>(model_.layers() * states));
  LayerBound layer(model_, batching, forms);
  for (int p = 0; p < model_.layers(); ++p) {
    layer.choose(p);
    for (int state = 1; state < states; ++state)
      own[static_cast<std::size_t>(p * states + state)] = layer.least(state);
  }
  const std::vector<LeastPassage> any = on_any_devices(model_.states(), own);
  stride_ = static_cast<std::size_t>(model_.cuts().size());
  add_up(own, own_);
  add_up(any, any_);
  find_whole_trip(any);
}

template <typename Least>
void StageBound::add_up(const std::vector<Least>& layers, std::pmr::vector<Least>& sums) const {
  const Cuts& cuts = model_.cuts();
  const int states = model_.states().size();
  sums.assign(static_cast<std::size_t>(states) * stride_, {});
  for (int state = 1; state < states; ++state) {
    for (int cut = 1; cut < cuts.size(); ++cut) {
      Least& sum = sums[index(state, cut)];
      sum = sums[index(state, cuts.parent(cut))];
      sum += layers[static_cast<std::size_t>(cuts.added(cut) * states + state)];
    }
  }
}

/// Each layer is on the devices of the first stage or on others.
void StageBound::find_whole_trip(const std::vector<LeastPassage>& any) {
  const int states = model_.states().size(), all = model_.states().all();
  whole_trip_ = {kInfinity, kInfinity};
  for (int first = 1; first < all; ++first) {
    LeastPassage sum;
    for (int p = 0; p < model_.layers(); ++p) {
      LeastPassage layer = any[static_cast<std::size_t>(p * states + first)];
      take(any[static_cast<std::size_t>(p * states + all - first)], layer);
      sum += layer;
    }
    if (sum.impossible > 0) continue;
    whole_trip_.full_ns = std::min(whole_trip_.full_ns, sum.trip.full_ns);
    whole_trip_.last_ns = std::min(whole_trip_.last_ns, sum.trip.last_ns);
  }
}

}  // namespace millrace
