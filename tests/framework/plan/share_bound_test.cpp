// Whole samples among unlike devices: the ways, and that their bound holds for each of them.

#include "framework/plan/share_bound.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <random>

namespace millrace {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

/// One number in place of a layer's four.
struct Time {
  double ns = std::numeric_limits<double>::infinity();

  Time() = default;
  Time(double all, double /*b*/, double /*c*/, double /*d*/) : ns(all) {}
  Time operator*(double factor) const { return {ns * factor, 0, 0, 0}; }
  Time& operator+=(const Time& other) {
    ns += other.ns;
    return *this;
  }
  void take(const Time& other) { ns = std::min(ns, other.ns); }
};

/// Every way to give each of counts[k] devices at least one sample, as the largest share of each.
void visit_shares(const std::vector<int>& counts, std::int64_t samples, KindShares& chosen,
                  const std::function<void(const KindShares&)>& visit) {
  const std::size_t k = chosen.size();
  if (k == counts.size()) {
    if (samples == 0) visit(chosen);
    return;
  }
  for (std::int64_t total = counts[k]; total <= samples; ++total) {
    chosen.push_back((total + counts[k] - 1) / counts[k]);
    visit_shares(counts, samples - total, chosen, visit);
    chosen.pop_back();
  }
}

TEST(WaysToShare, AreWhatSamplesCanBeDividedInto) {
  EXPECT_THAT(ways_to_share({1, 1}, 4),
              ElementsAre(KindShares{1, 3}, KindShares{2, 2}, KindShares{3, 1}));
  EXPECT_THAT(ways_to_share({10, 3}, 16), UnorderedElementsAre(KindShares{1, 2}, KindShares{2, 1}));
  EXPECT_THAT(ways_to_share({1, 1, 1, 1, 1, 1, 1, 1}, 8),
              ElementsAre(KindShares{1, 1, 1, 1, 1, 1, 1, 1}));
  EXPECT_THAT(ways_to_share({2, 1}, 2), ElementsAre()) << "fewer samples than devices";
  EXPECT_THAT(ways_to_share({1, 1}, 33), ElementsAre()) << "more than 16 for each";
  EXPECT_THAT(ways_to_share({1, 1, 1}, 30), ElementsAre()) << "406 ways";
}

TEST(WaysToShare, HoldWhateverTheDevicesGet) {
  for (const auto& counts : std::vector<std::vector<int>>{{1, 1}, {3, 2, 1}, {4, 4}, {10, 3}}) {
    const int devices = std::accumulate(counts.begin(), counts.end(), 0);
    for (std::int64_t samples = devices; samples <= devices + 9; ++samples) {
      const auto ways = ways_to_share(counts, samples);
      KindShares chosen;
      visit_shares(counts, samples, chosen, [&](const KindShares& shares) {
        const bool held = std::any_of(ways.begin(), ways.end(), [&](const KindShares& way) {
          return std::equal(way.begin(), way.end(), shares.begin(), std::less_equal<>());
        });
        EXPECT_TRUE(held || ways.empty()) << testing::PrintToString(shares);
      });
    }
  }
}

/// Three layers that each kind runs at another speed, and every way to share.
TEST(ShareBound, OfLayersTogetherIsAtMostWhatAnySharesTake) {
  std::mt19937 random(35);
  const std::vector<int> counts = {3, 2, 1};
  const DeviceStates states(counts);
  for (int round = 0; round < 50; ++round) {
    const std::int64_t samples = 6 + round % 9;
    ShareBound bound(states, samples);
    ASSERT_TRUE(bound.knows(states.all()));
    std::vector<std::vector<double>> price(3);  // [layer][kind], of a sample
    for (auto& layer : price)
      for (int kind = 0; kind < 3; ++kind) layer.push_back(1 + double(random() % 20));
    std::vector<std::vector<double>> together(3);
    for (std::size_t kind = 0; kind < 3; ++kind)
      for (std::int64_t n = 1; n <= bound.most(); ++n)
        together[kind].push_back((price[0][kind] + price[1][kind] + price[2][kind]) * double(n));
    bound.weigh(together);
    double least = 0;
    for (const auto& layer : price)
      least += bound
                   .least<Time>(states.all(),
                                [&](int kind, std::int64_t n) {
                                  return Time{layer[std::size_t(kind)] * double(n), 0, 0, 0};
                                })
                   .ns;
    double best = std::numeric_limits<double>::infinity();
    KindShares chosen;
    visit_shares(counts, samples, chosen, [&](const KindShares& shares) {
      double latest = 0;
      for (std::size_t kind = 0; kind < 3; ++kind)
        latest = std::max(latest, together[kind][std::size_t(shares[kind] - 1)]);
      best = std::min(best, latest);
    });
    EXPECT_LE(least, best * (1 + 1e-9)) << round;
    EXPECT_GT(least, best / 3) << round;
  }
}

}  // namespace
}  // namespace millrace
