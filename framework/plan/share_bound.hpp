#pragma once
// Lower bounds of what unlike devices take that divide whole samples among them.

#include <cstdint>
#include <vector>

#include "framework/plan/device_states.hpp"

namespace millrace {

/// Of a stage the largest share of each kind is the same for all layers, so that its latest device
/// takes at least what the kinds take by any weights, and layer by layer the best shares for these
/// weights take no more. Such bounds of layers add up. Not thread-safe; the states outlive it.
class ShareBound {
 public:
  /// Every device has at least one of a micro-batch's samples.
  ShareBound(const DeviceStates& states, std::int64_t samples);

  /// The largest share that is looked at; 0 where none is.
  std::int64_t most() const { return most_; }

  /// Chooses the weights: ns[kind][count - 1], up to most(), is what one device takes for all
  /// layers together.
  void weigh(const std::vector<std::vector<double>>& ns);

  /// False for devices of one kind, and where the shares are too many to look at each.
  bool knows(int state) const { return !of(state).shares.empty(); }

  /// times(kind, count), of a layer, can be scaled, added up and take() what is less.
  template <typename Times, typename Of>
  Times least(int state, const Of& times) const {
    const Mixture& mixture = of(state);
    const std::size_t kinds = mixture.kinds.size();
    Times least;
    for (std::size_t i = 0; i < mixture.shares.size(); i += kinds) {
      Times sum{0, 0, 0, 0};
      for (std::size_t k = 0; k < kinds; ++k)
        sum += times(mixture.kinds[k], mixture.shares[i + k]) * mixture.weights[k];
      least.take(sum);
    }
    return least;
  }

 private:
  /// What a state of several kinds may do.
  struct Mixture {
    std::vector<int> kinds;
    std::vector<std::int64_t> shares;  ///< [way][of kinds]: the largest share of each kind
    std::vector<double> weights;       ///< of kinds
  };

  const Mixture& of(int state) const { return mixtures_[static_cast<std::size_t>(state)]; }
  Mixture mixture(int state, std::int64_t samples) const;
  void add_shares(int state, std::int64_t left, std::vector<std::int64_t>& chosen,
                  Mixture& mixture) const;

  const DeviceStates& states_;
  std::vector<Mixture> mixtures_;  // by state
  std::int64_t most_ = 0;
};

}  // namespace millrace
