#include "framework/plan/share_bound.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace millrace {
namespace {

/// More are not looked at: with many samples for each device whole ones are little more.
constexpr std::size_t kMostWays = 64;

/// Subgradient steps, as many as bring the weights near their best.
constexpr int kRounds = 40;

}  // namespace

ShareBound::ShareBound(const DeviceStates& states, std::int64_t samples) : states_(states) {
  for (int state = 0; state < states.size(); ++state) {
    mixtures_.push_back(mixture(state, samples));
    for (const std::int64_t share : mixtures_.back().shares) most_ = std::max(most_, share);
  }
}

ShareBound::Mixture ShareBound::mixture(int state, std::int64_t samples) const {
  Mixture result;
  const int devices = states_.devices(state);
  if (devices == 0 || devices > samples || states_.single_kind(state) >= 0) return result;
  for (int kind = 0; kind < states_.kinds(); ++kind)
    if (states_.count(state, kind) > 0) result.kinds.push_back(kind);
  const std::size_t kinds = result.kinds.size();
  result.weights.assign(kinds, 1.0 / double(kinds));
  std::vector<std::int64_t> chosen;
  add_shares(state, samples, chosen, result);
  if (result.shares.size() > kMostWays * kinds) result.shares.clear();
  return result;
}

/// All ways to go on from the shares of the first kinds, which leave so many samples.
void ShareBound::add_shares(int state, std::int64_t left, std::vector<std::int64_t>& chosen,
                            Mixture& mixture) const {
  const std::size_t kinds = mixture.kinds.size();
  if (mixture.shares.size() > kMostWays * kinds) return;
  const auto count = std::int64_t{states_.count(state, mixture.kinds[chosen.size()])};
  const std::int64_t most = std::max<std::int64_t>(1, (left + count - 1) / count);
  const bool last = chosen.size() + 1 == kinds;
  for (std::int64_t share = last ? most : 1; share <= most; ++share) {
    chosen.push_back(share);
    if (last)
      mixture.shares.insert(mixture.shares.end(), chosen.begin(), chosen.end());
    else
      add_shares(state, left - share * count, chosen, mixture);
    chosen.pop_back();
  }
}

/// The kinds that take longer than the bound in the way that gives it gain weight.
void ShareBound::weigh(const std::vector<std::vector<double>>& ns) {
  for (Mixture& mixture : mixtures_) {
    const std::size_t kinds = mixture.kinds.size();
    std::vector<double> weights = mixture.weights;
    double best = -1;
    for (int round = 0; round < kRounds && !mixture.shares.empty(); ++round) {
      double bound = std::numeric_limits<double>::infinity();
      std::vector<double> way(kinds), taken(kinds);
      for (std::size_t i = 0; i < mixture.shares.size(); i += kinds) {
        for (std::size_t k = 0; k < kinds; ++k)
          way[k] = ns[static_cast<std::size_t>(mixture.kinds[k])]
                     [static_cast<std::size_t>(mixture.shares[i + k] - 1)];
        const double sum = std::inner_product(way.begin(), way.end(), weights.begin(), 0.0);
        if (sum >= bound) continue;
        bound = sum;
        taken = way;
      }
      if (bound > best) mixture.weights = weights;
      best = std::max(best, bound);
      if (bound <= 0) break;
      double all = 0;
      for (std::size_t k = 0; k < kinds; ++k) {
        const double excess = std::clamp(taken[k] / bound - 1, -1.0, 1.0);
        weights[k] *= std::exp(excess / (1 + 0.3 * round));
        all += weights[k];
      }
      for (double& weight : weights) weight /= all;
    }
  }
}

}  // namespace millrace
