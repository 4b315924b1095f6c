#include "framework/plan/shares.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "millrace/plan.hpp"

namespace millrace {
namespace {

/// A cost that is a table: ns_[x] of x samples.
struct Table {
  std::vector<double> ns_ = {0};

  double ns(std::int64_t x) const {
    return x < std::int64_t(ns_.size()) ? ns_[std::size_t(x)] : ns_.back() * 1e6;
  }
  double samples_within(double limit) const {
    double x = 0;
    while (ns(std::int64_t(x) + 1) <= limit && x < 1000) ++x;
    return x;
  }
};

std::vector<std::int64_t> flat(const ShareGroups& groups) {
  std::vector<std::int64_t> shares;
  for (const ShareGroup& group : groups) {
    shares.insert(shares.end(), std::size_t(group.replicas), group.samples);
  }
  return shares;
}

double slowest(const ShareGroups& groups, const std::array<Table, kMostKinds>& costs) {
  double result = 0;
  for (const ShareGroup& group : groups) {
    result = std::max(result, costs[group.kind].ns(group.samples));
  }
  return result;
}

/// The smallest largest cost over every way to hand out whole samples.
double best_by_trial(const std::vector<int>& kinds, std::int64_t samples,
                     const std::array<Table, kMostKinds>& costs) {
  double best = std::numeric_limits<double>::infinity();
  const std::function<void(std::size_t, std::int64_t, double)> hand_out =
      [&](std::size_t r, std::int64_t left, double so_far) {
        if (r + 1 == kinds.size()) {
          best = std::min(best, std::max(so_far, costs[kinds[r]].ns(left)));
          return;
        }
        const auto others = std::int64_t(kinds.size() - r) - 1;
        for (std::int64_t x = 1; x <= left - others; ++x) {
          hand_out(r + 1, left - x, std::max(so_far, costs[kinds[r]].ns(x)));
        }
      };
  hand_out(0, samples, 0);
  return best;
}

TEST(ShareBalancer, IsAsGoodAsTryingAllShares) {
  std::mt19937 random(3);
  for (int round = 0; round < 500; ++round) {
    std::array<int, kMostKinds> replicas = {int(1 + random() % 2), int(random() % 3)};
    std::array<Table, kMostKinds> costs;
    std::vector<int> kinds;
    for (int k = 0; k < 2; ++k) {
      for (int x = 1; x < 12; ++x) {  // plateaus and jumps, never falling
        costs[k].ns_.push_back(costs[k].ns_.back() + double(random() % 4) * 10 * (k + 1));
      }
      kinds.insert(kinds.end(), std::size_t(replicas[k]), k);
    }
    const auto samples = std::int64_t(kinds.size() + random() % 6);
    const ShareGroups groups = ShareBalancer(replicas, 2).balance(samples, costs);
    const auto shares = flat(groups);
    ASSERT_EQ(shares.size(), kinds.size());
    EXPECT_EQ(std::accumulate(shares.begin(), shares.end(), std::int64_t{0}), samples);
    EXPECT_GE(*std::min_element(shares.begin(), shares.end()), 1);
    EXPECT_EQ(slowest(groups, costs), best_by_trial(kinds, samples, costs)) << round;
  }
}

TEST(ShareBalancer, FollowsTheSpeedOfTheKinds) {
  std::array<Table, kMostKinds> costs;
  for (int x = 1; x < 70; ++x) {
    costs[0].ns_.push_back(x * 10.0);
    costs[1].ns_.push_back(x * 40.0);
  }
  const ShareGroups groups = ShareBalancer({4, 4}, 2).balance(60, costs);
  EXPECT_EQ(flat(groups), (std::vector<std::int64_t>{12, 12, 12, 12, 3, 3, 3, 3}));
}

TEST(ShareBalancer, FreeWorkIsHandedOutAllTheSame) {
  std::array<Table, kMostKinds> costs;
  for (auto& table : costs) table.ns_.assign(20, 0.0);
  const auto shares = flat(ShareBalancer({2, 1}, 2).balance(9, costs));
  EXPECT_EQ(std::accumulate(shares.begin(), shares.end(), std::int64_t{0}), 9);
}

TEST(ShareGroups, OfAShortMicroBatchAreSharesOf) {
  std::mt19937 random(11);
  for (int round = 0; round < 500; ++round) {
    ShareGroups groups;
    std::int64_t full = 0;
    for (int kind = 0; kind < 3; ++kind) {
      const int replicas = int(random() % 3);
      const auto samples = std::int64_t(replicas + random() % 7);
      if (replicas > 0) add_even(groups, kind, replicas, samples);
      if (replicas > 0) full += samples;
    }
    if (full == 0) continue;
    const auto part = std::int64_t(random() % std::uint64_t(full + 1));
    auto expected = shares_of(flat(groups), part);
    std::vector<std::int64_t> found;
    visit_shares_of(groups, full, part, [&](const ShareGroup& group) {
      found.insert(found.end(), std::size_t(group.replicas), group.samples);
    });
    std::sort(expected.begin(), expected.end());
    std::sort(found.begin(), found.end());
    EXPECT_EQ(found, expected);
  }
}

TEST(ShareGroups, KeepKindsOfShortMicroBatches) {
  ShareGroups groups;
  groups.add(0, 1, 5);
  groups.add(1, 1, 3);
  std::vector<std::int64_t> by_kind(2);
  visit_shares_of(groups, 8, 3,
                  [&](const ShareGroup& group) { by_kind[group.kind] = group.samples; });
  EXPECT_EQ(by_kind, (std::vector<std::int64_t>{2, 1}));  // 1.875 and 1.125
}

}  // namespace
}  // namespace millrace
