#include "framework/profile/measuring.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace millrace {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

constexpr std::int64_t kAnyCount = std::numeric_limits<std::int64_t>::max();

/// Two layers whose passes take a + b n by a fake clock; records what was run.
struct FakeMachine {
  double now_ns = 0;
  double fixed_ns = 10, per_sample_ns = 1;
  std::vector<double> jitter = {1.0};  ///< factors, in turn
  std::vector<std::int64_t> runs;

  PassTimes pass(std::int64_t samples) {
    const double factor = jitter[runs.size() % jitter.size()];
    const double total = factor * (fixed_ns + per_sample_ns * static_cast<double>(samples));
    runs.push_back(samples);
    now_ns += total;
    return {{0.25 * total, 0.25 * total}, {0.25 * total, 0.25 * total}, {}};
  }
  MeasuredCounts measure(const std::vector<std::int64_t>& counts, const MeasuringRules& rules) {
    return measure_counts([this](std::int64_t n) { return pass(n); }, counts, rules,
                          [this] { return now_ns; });
  }
};

TEST(SampleCounts, HoldOneTheBatchAndItsHalf) {
  EXPECT_THAT(sample_counts(64), ElementsAre(1, 4, 16, 32, 64));
  EXPECT_THAT(sample_counts(100), ElementsAre(1, 4, 16, 50, 100));
  EXPECT_THAT(sample_counts(3), ElementsAre(1, 3));
  EXPECT_THAT(sample_counts(2), ElementsAre(1, 2));
  EXPECT_THAT(sample_counts(1), ElementsAre(1));
}

TEST(TeamWidths, ArePowersOfTwoAndAllCores) {
  EXPECT_THAT(team_widths(1), IsEmpty());
  EXPECT_THAT(team_widths(2), ElementsAre(2));
  EXPECT_THAT(team_widths(6), ElementsAre(2, 4, 6));
  EXPECT_THAT(team_widths(8), ElementsAre(2, 4, 8));
}

TEST(MeasureCounts, StopsEarlyWherePassesAgree) {
  FakeMachine machine;
  const auto measured = machine.measure({1, 4, 16}, {.budget_ns = 1e9, .most_samples = kAnyCount});
  ASSERT_EQ(measured.size(), 3U);
  for (const auto& [samples, passes] : measured) EXPECT_EQ(passes.size(), 3U) << samples;
  EXPECT_EQ(machine.runs.size(), 12U) << "three that count and a warm-up each";
}

TEST(MeasureCounts, RepeatsUpToTheLimitWherePassesDiffer) {
  FakeMachine machine;
  machine.jitter = {1.0, 1.3, 0.8};
  const auto measured = machine.measure({1, 4}, {.budget_ns = 1e9, .most_samples = kAnyCount});
  for (const auto& [samples, passes] : measured) EXPECT_EQ(passes.size(), 7U) << samples;
}

TEST(MeasureCounts, KeepsToTheBudgetAndRepeatsLargeCountsLess) {
  FakeMachine machine;
  machine.jitter = {1.0, 1.3, 0.8};
  const double budget_ns = 900;
  const auto measured =
      machine.measure({1, 16, 200}, {.budget_ns = budget_ns, .most_samples = kAnyCount});
  EXPECT_LE(machine.now_ns, budget_ns);
  EXPECT_LT(measured.at(200).size(), measured.at(1).size());
}

TEST(MeasureCounts, LeavesOutCountsThatCannotFit) {
  FakeMachine machine;
  const auto measured =
      machine.measure({1, 16, 1000}, {.budget_ns = 500, .most_samples = kAnyCount});
  EXPECT_TRUE(measured.contains(16));
  EXPECT_FALSE(measured.contains(1000));
  EXPECT_EQ(std::count(machine.runs.begin(), machine.runs.end(), 1000), 0);
}

TEST(MeasureCounts, LeavesOutCountsThatMemoryCannotHold) {
  FakeMachine machine;
  const auto measured = machine.measure({1, 16, 64}, {.budget_ns = 1e9, .most_samples = 20});
  EXPECT_EQ(measured.size(), 2U);
  EXPECT_FALSE(measured.contains(64));
}

TEST(MeasureCounts, MeasuresALineWithoutAnyBudget) {
  FakeMachine machine;
  const MeasuringRules nothing = {.budget_ns = 0, .most_samples = kAnyCount};
  EXPECT_THAT(machine.measure({1, 16, 64}, nothing),
              ElementsAre(Pair(1, SizeIs(1)), Pair(16, SizeIs(1))));
}

TEST(MeasureCounts, MeasuresTheFirstCountAtLeast) {
  FakeMachine machine;
  const MeasuringRules nothing = {.budget_ns = 0, .most_samples = 0};
  EXPECT_THAT(machine.measure({1, 16, 64}, nothing), ElementsAre(Pair(1, SizeIs(1))));
}

PassTimes one_layer(double forward, double backward, double update = 0) {
  return {{forward}, {backward}, {update}};
}

TEST(LayerCurve, IsTheMedianOfEachCount) {
  const MeasuredCounts measured = {{1, {one_layer(5, 1), one_layer(7, 1), one_layer(90, 1)}},
                                   {4, {one_layer(10, 2), one_layer(20, 2)}}};
  EXPECT_THAT(layer_curve(measured, {1, 4}, &PassTimes::forward_ns, 0), ElementsAre(7, 15));
  EXPECT_THAT(layer_curve(measured, {1, 4}, &PassTimes::backward_ns, 0), ElementsAre(1, 2));
}

TEST(LayerCurve, ContinuesTheLineWhereNothingWasMeasured) {
  const MeasuredCounts measured = {{1, {one_layer(10, 0)}}, {4, {one_layer(16, 0)}}};
  EXPECT_THAT(layer_curve(measured, {1, 4, 16, 64}, &PassTimes::forward_ns, 0),
              ElementsAre(10, 16, 40, 136));
  EXPECT_THAT(layer_curve({{1, {one_layer(10, 0)}}}, {1, 4}, &PassTimes::forward_ns, 0),
              ElementsAre(10, 40));
}

TEST(LayerCurve, NeverFalls) {
  const MeasuredCounts measured = {{1, {one_layer(10, 0)}}, {4, {one_layer(9, 0)}}};
  EXPECT_THAT(layer_curve(measured, {1, 4, 8}, &PassTimes::forward_ns, 0), ElementsAre(10, 10, 10));
}

TEST(PassTimes, ALayersTimeIsOfThePartsThatThePassHad) {
  EXPECT_DOUBLE_EQ(one_layer(1, 2, 30).layer_ns(0), 33);
  EXPECT_DOUBLE_EQ((PassTimes{{1, 5}, {2, 6}, {}}).layer_ns(1), 11);
}

TEST(Spread, IsARobustDeviationInPercent) {
  const MeasuredCounts steady = {{1, {one_layer(50, 50), one_layer(50, 50)}}};
  EXPECT_DOUBLE_EQ(spread_percent(steady, 0), 0);
  // Deviations of 0, 2, 2, 4 and 4 %, corrected by sqrt(5 / 4): the median is 2.236 %.
  const MeasuredCounts noisy = {{1,
                                 {one_layer(48, 48), one_layer(49, 49), one_layer(50, 50),
                                  one_layer(51, 51), one_layer(52, 52)}}};
  EXPECT_THAT(spread_percent(noisy, 0), DoubleNear(1.4826 * 2.236, 0.001));
}

TEST(Spread, IgnoresOneOutlier) {
  const MeasuredCounts measured = {
      {1, {one_layer(50, 50), one_layer(50, 50), one_layer(50, 50), one_layer(500, 500)}}};
  EXPECT_DOUBLE_EQ(spread_percent(measured, 0), 0);
}

TEST(Spread, NeedsTwoPasses) { EXPECT_DOUBLE_EQ(spread_percent({{1, {one_layer(5, 5)}}}, 0), 0); }

TEST(Median, OfEvenAndOddAndNothing) {
  EXPECT_DOUBLE_EQ(median({3, 1, 2}), 2);
  EXPECT_DOUBLE_EQ(median({4, 1, 2, 3}), 2.5);
  EXPECT_DOUBLE_EQ(median({}), 0);
}

TEST(BudgetShares, GiveUnusedTimeToLaterParts) {
  double now_ns = 0;
  BudgetShares shares(100, {1, 1, 2}, [&] { return now_ns; });
  EXPECT_DOUBLE_EQ(shares.next(), 25);
  now_ns = 10;
  EXPECT_DOUBLE_EQ(shares.next(), 30);
  now_ns = 30;
  EXPECT_DOUBLE_EQ(shares.next(), 70);
}

TEST(BudgetShares, AreZeroWhenTimeIsUp) {
  BudgetShares shares(100, {1, 1}, [] { return 200.0; });
  EXPECT_DOUBLE_EQ(shares.next(), 0);
}

TEST(AtPaceOf, ScalesWhatWasMeasuredOnASlowerMachine) {
  const auto whole = [](double forward) { return PassTimes{{forward, 2 * forward}, {9, 9}, {}}; };
  PassTimes apart;
  apart.forward_ns = {15, 15};  // 30 where the median of the whole is 3 x 5
  apart.input_gradient_ns = {8, 2};
  apart.weight_gradient_ns = {6, 0};
  const MeasuredCounts scaled =
      at_pace_of({{1, {whole(4), whole(5), whole(100)}}}, {{1, {apart}}, {4, {apart}}});
  EXPECT_THAT(scaled.at(1)[0].input_gradient_ns, ElementsAre(4, 1));
  EXPECT_THAT(scaled.at(1)[0].weight_gradient_ns, ElementsAre(3, 0));
  EXPECT_THAT(scaled.at(4)[0].input_gradient_ns, ElementsAre(8, 2)) << "nothing to compare with";
}

}  // namespace
}  // namespace millrace
