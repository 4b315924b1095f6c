#include "framework/plan/share_bound.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace millrace {
namespace {

/// More are not looked at, nor are more samples for each device: whole ones are little more then.
constexpr std::size_t kMostWays = 64;
constexpr std::int64_t kMostOfADevice = 16;

/// Subgradient steps that bring the weights near their best.
constexpr int kRounds = 40;

/// Of the kinds from `first` on; more than kMostWays of them are not all of them.
std::vector<KindShares> ways_from(const std::vector<int>& counts, std::size_t first,
                                  std::int64_t samples) {
  const auto count = std::int64_t{counts[first]};
  const auto behind = counts.begin() + static_cast<std::ptrdiff_t>(first) + 1;
  const auto others = std::accumulate(behind, counts.end(), std::int64_t{0});
  const auto most = std::max<std::int64_t>(1, (samples - others + count - 1) / count);
  if (others == 0) return {{most}};
  std::vector<KindShares> result;
  for (std::int64_t share = 1; share <= most && result.size() <= kMostWays; ++share)
    for (KindShares& rest : ways_from(counts, first + 1, samples - share * count)) {
      rest.insert(rest.begin(), share);
      result.push_back(std::move(rest));
    }
  return result;
}

/// What one device of each kind takes in the way that takes least by these weights.
std::vector<double> taken_at_least(const std::vector<std::vector<double>>& ns,
                                   const std::vector<int>& kinds,
                                   const std::vector<KindShares>& ways,
                                   const std::vector<double>& weights) {
  double least = std::numeric_limits<double>::infinity();
  std::vector<double> taken, of_way(kinds.size());
  for (const KindShares& way : ways) {
    for (std::size_t k = 0; k < kinds.size(); ++k)
      of_way[k] = ns[static_cast<std::size_t>(kinds[k])][static_cast<std::size_t>(way[k] - 1)];
    const double sum = std::inner_product(of_way.begin(), of_way.end(), weights.begin(), 0.0);
    if (sum >= least) continue;
    least = sum;
    taken = of_way;
  }
  return taken;
}

}  // namespace

std::vector<KindShares> ways_to_share(const std::vector<int>& counts, std::int64_t samples) {
  const auto devices = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  if (devices > samples || samples > kMostOfADevice * devices) return {};
  std::vector<KindShares> ways = ways_from(counts, 0, samples);
  if (ways.size() > kMostWays) ways.clear();
  return ways;
}

ShareBound::ShareBound(const DeviceStates& states, std::int64_t samples) {
  for (int state = 0; state < states.size(); ++state) {
    mixtures_.push_back(mixture(states, state, samples));
    for (const KindShares& way : mixtures_.back().ways)
      most_ = std::max(most_, *std::max_element(way.begin(), way.end()));
  }
}

/// The kind with the most devices first: it has the fewest shares to go through.
ShareBound::Mixture ShareBound::mixture(const DeviceStates& states, int state,
                                        std::int64_t samples) {
  Mixture result;
  if (states.devices(state) == 0 || states.single_kind(state) >= 0) return result;
  for (int kind = 0; kind < states.kinds(); ++kind)
    if (states.count(state, kind) > 0) result.kinds.push_back(kind);
  std::stable_sort(result.kinds.begin(), result.kinds.end(),
                   [&](int a, int b) { return states.count(state, a) > states.count(state, b); });
  std::vector<int> counts;
  for (const int kind : result.kinds) counts.push_back(states.count(state, kind));
  result.ways = ways_to_share(counts, samples);
  result.weights.assign(counts.size(), 1.0 / double(counts.size()));
  return result;
}

/// The kinds that take longer than the weighted mean, in the way that makes it least, gain weight.
void ShareBound::weigh(const std::vector<std::vector<double>>& ns) {
  for (Mixture& mixture : mixtures_) {
    std::vector<double> weights = mixture.weights;
    double best = -1;
    for (int round = 0; round < kRounds && !mixture.ways.empty(); ++round) {
      const auto taken = taken_at_least(ns, mixture.kinds, mixture.ways, weights);
      const double mean = std::inner_product(taken.begin(), taken.end(), weights.begin(), 0.0);
      if (mean > best) mixture.weights = weights;
      best = std::max(best, mean);
      if (mean <= 0) break;
      for (std::size_t k = 0; k < weights.size(); ++k)
        weights[k] *= std::exp(std::clamp(taken[k] / mean - 1, -1.0, 1.0) / (1 + 0.3 * round));
      const double all = std::accumulate(weights.begin(), weights.end(), 0.0);
      for (double& weight : weights) weight /= all;
    }
  }
}

}  // namespace millrace
