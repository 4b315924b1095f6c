#include "framework/plan/stage_bound.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace millrace {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Times of layers on states, some 8 MB.
constexpr std::size_t kMostKept = 100'000;

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

/// Of all layers together on one device; [kind][samples - 1].
std::vector<std::vector<double>> ns_by_samples(const std::vector<LayerBound>& layers, int kinds,
                                               std::int64_t most) {
  std::vector<std::vector<double>> result(static_cast<std::size_t>(kinds));
  for (int kind = 0; kind < kinds; ++kind)
    for (std::int64_t samples = 1; samples <= most; ++samples) {
      double sum = 0;
      for (const LayerBound& layer : layers) sum += layer.ns(kind, samples);
      result[static_cast<std::size_t>(kind)].push_back(sum);
    }
  return result;
}

std::vector<LeastStage> on_state(const std::vector<LayerBound>& layers, int state,
                                 const ShareBound* shares) {
  std::vector<LeastStage> result;
  for (const LayerBound& layer : layers) result.push_back(layer.least(state, shares));
  return result;
}

double total_ns(const std::vector<LeastStage>& layers) {
  double sum = 0;
  for (const LeastStage& layer : layers) sum += layer.total_ns;
  return sum;
}

/// Of each layer on those of a state's devices that take the least; by position and state, both.
std::pmr::vector<LeastPassage> on_any_devices(const DeviceStates& states,
                                              const std::pmr::vector<LeastStage>& own) {
  std::pmr::vector<LeastPassage> any;
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

/// They are asked for again below each limit of the search.
StageBound::Layers StageBound::layers(const Batching& batching, const BackwardForms& forms) {
  const auto found = kept_.find(batching.full);
  if (found != kept_.end()) return found->second;
  Layers made = make_layers(batching, forms);
  if ((kept_.size() + 1) * made.size() <= kMostKept) kept_.emplace(batching.full, made);
  return made;
}

/// Whole shares say more where they are few, but with one set of weights for all layers; of a state
/// all layers have what says more of them together.
StageBound::Layers StageBound::make_layers(const Batching& batching,
                                           const BackwardForms& forms) const {
  ShareBound shares(model_.states(), batching.full);
  std::vector<LayerBound> bounds;
  for (int p = 0; p < model_.layers(); ++p)
    bounds.emplace_back(model_, batching, forms, p, shares.most());
  shares.weigh(ns_by_samples(bounds, model_.states().kinds(), shares.most()));
  const int states = model_.states().size();
  Layers result(bounds.size() * static_cast<std::size_t>(states), kept_.get_allocator());
  for (int state = 1; state < states; ++state) {
    std::vector<LeastStage> own = on_state(bounds, state, nullptr);
    if (shares.knows(state)) {
      std::vector<LeastStage> whole = on_state(bounds, state, &shares);
      if (total_ns(whole) > total_ns(own)) own = std::move(whole);
    }
    for (std::size_t p = 0; p < own.size(); ++p)
      result[p * static_cast<std::size_t>(states) + static_cast<std::size_t>(state)] = own[p];
  }
  return result;
}

void StageBound::set(const Batching& batching, const BackwardForms& forms) {
  const Layers own = layers(batching, forms);
  stride_ = static_cast<std::size_t>(model_.cuts().size());
  add_up(own, own_);
  add_up(on_any_devices(model_.states(), own), any_);
}

template <typename Least>
void StageBound::add_up(const std::pmr::vector<Least>& layers,
                        std::pmr::vector<Least>& sums) const {
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
RoundTrip StageBound::whole_trip(const Batching& batching, const BackwardForms& forms) {
  const std::pmr::vector<LeastPassage> any =
      on_any_devices(model_.states(), layers(batching, forms));
  const int states = model_.states().size(), all = model_.states().all();
  RoundTrip least{kInfinity, kInfinity};
  for (int first = 1; first < all; ++first) {
    LeastPassage sum;
    for (int p = 0; p < model_.layers(); ++p) {
      LeastPassage layer = any[static_cast<std::size_t>(p * states + first)];
      take(any[static_cast<std::size_t>(p * states + all - first)], layer);
      sum += layer;
    }
    if (sum.impossible > 0) continue;
    least.full_ns = std::min(least.full_ns, sum.trip.full_ns);
    least.last_ns = std::min(least.last_ns, sum.trip.last_ns);
  }
  return least;
}

}  // namespace millrace
