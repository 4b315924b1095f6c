#include "framework/plan/layer_bound.hpp"

#include <algorithm>
#include <iterator>

namespace millrace {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The largest of even shares.
std::int64_t divided(std::int64_t samples, int replicas) {
  return (samples + replicas - 1) / replicas;
}

}  // namespace

LayerBound::Times LayerBound::Times::operator*(double factor) const {
  return {forward_ns * factor, trip_ns * factor, back_ns * factor, all_ns * factor};
}

LayerBound::Times& LayerBound::Times::operator+=(const Times& other) {
  forward_ns += other.forward_ns;
  trip_ns += other.trip_ns;
  back_ns += other.back_ns;
  all_ns += other.all_ns;
  return *this;
}

void LayerBound::Times::take(const Times& other) {
  forward_ns = std::min(forward_ns, other.forward_ns);
  trip_ns = std::min(trip_ns, other.trip_ns);
  back_ns = std::min(back_ns, other.back_ns);
  all_ns = std::min(all_ns, other.all_ns);
}

LayerBound::LayerBound(const CostModel& model, const Batching& batching, const BackwardForms& forms,
                       int position, std::int64_t most_share)
    : model_(model),
      states_(model.states()),
      batching_(batching),
      forms_(forms),
      apart_(forms.apart && model.splits_backward()),
      position_(position) {
  if (batching.count > 1)
    early_ =
        forms.early_weights * double(batching.batch) / double(batching.full * (batching.count - 1));
  whole_only_ = model_.sums().whole_only.sum(before(), behind()) > 0;
  sliceable_ = model_.sums().sliceable.members[static_cast<std::size_t>(position)];
  for (int kind = 0; kind < states_.kinds(); ++kind) kinds_.push_back(of_kind(kind, most_share));
}

double LayerBound::ns(int kind, std::int64_t samples) const {
  const OfKind& of = kinds_[static_cast<std::size_t>(kind)];
  const double ns = of.shares[static_cast<std::size_t>(samples - 1)].all_ns;
  return ns == kInfinity ? 0 : ns;
}

LeastStage LayerBound::least(int state, const ShareBound* shares) const {
  Both least;
  if (const int kind = states_.single_kind(state); kind >= 0) {
    const auto devices = static_cast<std::size_t>(states_.devices(state));
    least = kinds_[static_cast<std::size_t>(kind)].replicas[devices];
  } else if (runs_alone(state)) {
    least = {mixed(state, shares, &Both::full, batching_.full),
             mixed(state, shares, &Both::rest, batching_.rest)};
  }
  const auto& [full, rest] = least;
  if (full.forward_ns == kInfinity) return {{0, {}, 1}, 0, 0, 0};
  const auto others = double(batching_.count - 1);
  return {{full.forward_ns, {full.trip_ns, rest.trip_ns}, 0},
          others * full.back_ns + rest.trip_ns,
          others * full.all_ns + rest.all_ns,
          update_ns(state)};
}

/// No more than with more samples, pass by pass: the first forward has a full micro-batch where the
/// last backward may have less. Pipelines keep other cores busy.
LayerBound::Times LayerBound::times(const Way& way, std::int64_t samples) const {
  if (!way.sums.alone.covers(before(), behind())) return {};
  const auto ns = [&](const CurveSums& pass) {
    return pass.least_ns(before(), behind(), model_.profile().samples, samples, batching_.full);
  };
  const PassSums& passes = way.sums.loaded;
  Times least;
  least.forward_ns = ns(passes.forward);
  if (way.whole || !way.apart)
    least.trip_ns = least.back_ns = least.all_ns = least.forward_ns + ns(passes.backward);
  if (!way.apart) return least;
  const double trip = least.forward_ns + ns(passes.input_gradient);
  const double weights = ns(passes.weight_gradient);
  least.take({least.forward_ns, trip, trip + early_ * weights, trip + weights});
  return least;
}

/// For one of 1 … `most` samples, by most: 1, then the measured counts. Between two of these
/// times() is concave, so time per sample is least at an end.
std::vector<std::pair<std::int64_t, LayerBound::Times>> LayerBound::each_measured(
    const Way& way) const {
  std::vector<std::pair<std::int64_t, Times>> result = {{1, times(way, 1)}};
  for (const std::int64_t samples : model_.profile().samples) {
    if (samples == 1 || samples > batching_.full) continue;
    Times least = times(way, samples) * (1 / double(samples));
    least.take(result.back().second);
    result.emplace_back(samples, least);
  }
  return result;
}

/// of(samples)
template <typename Of>
LayerBound::Both LayerBound::both(const Of& of) const {
  const Times full = of(batching_.full);
  return {full, batching_.rest == batching_.full ? full : of(batching_.rest)};
}

LayerBound::OfKind LayerBound::of_kind(int kind, std::int64_t most_share) const {
  OfKind result;
  const LayerSums& sums = model_.sums();
  const auto k = static_cast<std::size_t>(kind);
  const Way single{sums.singles[k], forms_.whole || sliceable_, apart_};
  result.update_ns = sums.update_loaded[k].sum(before(), behind());
  result.alone = both([&](std::int64_t samples) { return times(single, samples); });
  result.replicas.emplace_back();
  for (int n = 1; n <= states_.count(states_.all(), kind); ++n)
    result.replicas.push_back(on_devices(kind, n, single));
  if (states_.kinds() == 1) return result;
  for (std::int64_t samples = 1; samples <= most_share; ++samples)
    result.shares.push_back(times(single, samples));
  const auto measured = each_measured(single);
  for (int n = 0; n <= states_.devices(states_.all()); ++n) {
    const std::int64_t share = batching_.full - n + 1;
    result.each_sample.push_back(both([&](std::int64_t samples) {
      const std::int64_t most = std::min(samples, share);
      if (n == 0 || most < 1) return Times{};
      const auto next = std::find_if(measured.begin(), measured.end(),
                                     [&](const auto& each) { return each.first > most; });
      Times least = times(single, most) * (1 / double(most));
      least.take(std::prev(next)->second);
      return least;
    }));
  }
  return result;
}

/// A full micro-batch has a sample for each replica.
LayerBound::Both LayerBound::on_devices(int kind, int devices, const Way& single) const {
  const LayerSums& sums = model_.sums();
  return both([&](std::int64_t samples) {
    Times least;
    const auto take = [&](const Way& way, int replicas) {
      if (replicas > batching_.full || (replicas > 1 && whole_only_)) return;
      least.take(times(way, divided(samples, replicas)));
    };
    take(single, devices);
    for (const auto& [kind_width, team] : sums.threads) {
      const auto [team_kind, width] = kind_width;
      if (team_kind == kind && devices % width == 0)
        take({team, forms_.whole, apart_}, devices / width);
    }
    const auto slices = sums.features.find({kind, devices});
    if (slices != sums.features.end())  // whose backward part is whole
      least.take(times({slices->second.times, true, false}, samples));
    return least;
  });
}

/// One device of each kind of the state can.
bool LayerBound::runs_alone(int state) const {
  for (int kind = 0; kind < states_.kinds(); ++kind)
    if (states_.count(state, kind) > 0 &&
        kinds_[static_cast<std::size_t>(kind)].alone.full.forward_ns == kInfinity)
      return false;
  return true;
}

/// On devices of several kinds, with shares of the samples or slices of the output features.
LayerBound::Times LayerBound::mixed(int state, const ShareBound* shares, Times Both::*batch,
                                    std::int64_t samples) const {
  Times least;
  const auto devices = static_cast<std::size_t>(states_.devices(state));
  if (!whole_only_ && samples == batching_.full && shares != nullptr && shares->knows(state))
    least = shares->least<Times>(state, [&](int kind, std::int64_t count) {
      return kinds_[static_cast<std::size_t>(kind)].shares[static_cast<std::size_t>(count - 1)];
    });
  else if (!whole_only_)
    least = together(state, [&](const OfKind& kind) {
      return kind.each_sample[devices].*batch * double(samples);
    });
  if (sliceable_ && model_.shares_memory(state))
    least.take(together(state, [&](const OfKind& kind) { return kind.alone.*batch; }));
  return least;
}

/// All devices at once, where ns(kind) are one device's for all of it. Such times of layers may be
/// added up: what divides all of them alike takes at least their sum.
template <typename Ns>
LayerBound::Times LayerBound::together(int state, const Ns& ns) const {
  Times speed{0, 0, 0, 0};
  for (int kind = 0; kind < states_.kinds(); ++kind) {
    const int count = states_.count(state, kind);
    if (count == 0) continue;
    const Times alone = ns(kinds_[static_cast<std::size_t>(kind)]);
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
      speed += count / kinds_[static_cast<std::size_t>(kind)].update_ns;
  return 1 / speed;
}

}  // namespace millrace
