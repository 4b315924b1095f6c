#pragma once
// Lower bounds of what unlike devices take that divide whole samples among them.

#include <cstdint>
#include <vector>

#include "framework/plan/device_states.hpp"

namespace millrace {

/// The largest share that one device of each kind has; its kinds are those of a Mixture.
using KindShares = std::vector<std::int64_t>;

/// All that `samples` can be divided into among counts[k] devices of each kind, at least one for
/// every device; such a way may hold more samples than these. Empty where they are more than some,
/// or too many to look at.
std::vector<KindShares> ways_to_share(const std::vector<int>& counts, std::int64_t samples);

/// Of a stage the largest share of each kind is the same for all layers, so that its latest device
/// takes at least what the kinds take by any weights, and layer by layer the best shares for these
/// weights take no more. Such bounds of layers add up. Not thread-safe.
class ShareBound {
 public:
  /// Of a micro-batch of so many samples.
  ShareBound(const DeviceStates& states, std::int64_t samples);

  /// The largest share that is looked at; 0 where none is.
  std::int64_t most() const { return most_; }

  /// Chooses the weights: ns[kind][count - 1], up to most(), is what one device takes for all
  /// layers together.
  void weigh(const std::vector<std::vector<double>>& ns);

  /// False for devices of one kind, and where the ways are too many.
  bool knows(int state) const { return !of(state).ways.empty(); }

  /// times(kind, count), of a layer, are four that can be scaled, added up and take() what is less;
  /// they begin as infinite.
  template <typename Times, typename Of>
  Times least(int state, const Of& times) const {
    const Mixture& mixture = of(state);
    Times least;
    for (const KindShares& way : mixture.ways) {
      Times sum{0, 0, 0, 0};
      for (std::size_t k = 0; k < way.size(); ++k)
        sum += times(mixture.kinds[k], way[k]) * mixture.weights[k];
      least.take(sum);
    }
    return least;
  }

 private:
  /// What a state of several kinds may do.
  struct Mixture {
    std::vector<int> kinds;
    std::vector<KindShares> ways;
    std::vector<double> weights;  ///< of kinds
  };

  const Mixture& of(int state) const { return mixtures_[static_cast<std::size_t>(state)]; }
  static Mixture mixture(const DeviceStates& states, int state, std::int64_t samples);

  std::vector<Mixture> mixtures_;  // by state
  std::int64_t most_ = 0;
};

}  // namespace millrace
