#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "millrace/errors.hpp"
#include "millrace/estimate.hpp"
#include "tests/controller/estimate/example.hpp"

namespace millrace {
namespace {

using testing::example_plan;
using testing::example_profile;
using testing::kExampleStep;

Estimate first_estimate(std::int64_t steps) {
  RunShape shape;
  shape.steps = steps;
  return estimate_run(example_profile(2), example_plan(), shape);
}

TEST(RemainingTime, BeforeTheFirstStepItIsTheEstimate) {
  const Estimate first = first_estimate(50);
  const TimeEstimate remaining = RemainingTime(first, 0.99).remaining(50, 0);
  EXPECT_DOUBLE_EQ(remaining.expected_ns, first.run.expected_ns);
  EXPECT_NEAR(remaining.latest_ns, first.run.latest_ns, 1e-9 * first.run.latest_ns);
}

TEST(RemainingTime, NothingLeftIsTheRest) {
  RemainingTime time(first_estimate(1), 0.99);
  EXPECT_DOUBLE_EQ(time.remaining(0, 0).latest_ns, 0);
  EXPECT_DOUBLE_EQ(time.remaining(0, 12).expected_ns, 12);
  EXPECT_DOUBLE_EQ(time.remaining(0, 12).latest_ns, 12);
}

TEST(RemainingTime, GoesFromTheEstimateToWhatIsSeen) {
  const Estimate first = first_estimate(1000);
  for (const double factor : {0.5, 1.2, 10.0}) {
    RemainingTime time(first, 0.99);
    const double seen = factor * kExampleStep;
    double miss = std::abs(seen - kExampleStep);
    for (int i = 0; i < 200; ++i) {
      time.observe(seen);
      const double now = std::abs(seen - time.remaining(1, 0).expected_ns);
      EXPECT_LE(now, miss * (1 + 1e-9));
      miss = now;
    }
    EXPECT_NEAR(time.remaining(1000, 0).expected_ns, 1000 * seen, 0.01 * 1000 * seen);
    EXPECT_EQ(time.observed(), 200);
  }
}

TEST(RemainingTime, LatestRisesWithConfidence) {
  double previous = 0;
  for (const double confidence : {0.6, 0.9, 0.99, 0.9999}) {
    RemainingTime time(first_estimate(10), confidence);
    for (const double step : {700.0, 750.0, 710.0}) time.observe(step);
    EXPECT_GT(time.remaining(10, 0).latest_ns, previous);
    previous = time.remaining(10, 0).latest_ns;
  }
}

TEST(RemainingTime, LatestComesCloserAsStepsArrive) {
  std::mt19937_64 random(3);
  std::normal_distribution<double> step(kExampleStep, 0.03 * kExampleStep);
  RemainingTime time(first_estimate(500), 0.99);
  const auto margin = [&] {
    const TimeEstimate remaining = time.remaining(500, 0);
    return remaining.latest_ns / remaining.expected_ns - 1;
  };
  const double before = margin();
  for (int i = 0; i < 10; ++i) time.observe(step(random));
  const double early = margin();
  for (int i = 0; i < 200; ++i) time.observe(step(random));
  EXPECT_LT(early, before);
  EXPECT_LT(margin(), early);
}

TEST(RemainingTime, FollowsAMachineThatBecomesSlow) {
  RemainingTime time(first_estimate(5000), 0.99);
  for (int i = 0; i < 2000; ++i) time.observe(kExampleStep);
  for (int i = 0; i < 1000; ++i) time.observe(2 * kExampleStep);
  EXPECT_NEAR(time.remaining(1, 0).expected_ns, 2 * kExampleStep, 0.05 * kExampleStep);
}

TEST(RemainingTime, AHugeSpreadStaysFinite) {
  RemainingTime time(first_estimate(10), 0.99);
  for (int i = 0; i < 20; ++i) time.observe(i % 2 == 0 ? 1.0 : 1e12);
  const TimeEstimate remaining = time.remaining(10, 0);
  EXPECT_TRUE(std::isfinite(remaining.latest_ns));
  EXPECT_GT(remaining.latest_ns, remaining.expected_ns);
}

TEST(RemainingTime, RefusesAConfidenceThatIsNone) {
  EXPECT_THROW(RemainingTime(first_estimate(1), 0.5), ConfigError);
}

struct Noise {
  double likeness = 0;  ///< of a step to the one before
};

/// Share of runs whose rest takes longer than was said after `seen` of `total` steps. The machine
/// of each run differs from the estimate's as its spread says; steps about that as `noise` says.
double exceeded(int seen, int total, Noise noise) {
  std::mt19937_64 random(static_cast<std::uint64_t>(seen * 1000 + total));
  std::normal_distribution<double> normal;
  const Estimate first = first_estimate(total);
  constexpr int kRuns = 5000;
  int late = 0;
  for (int run = 0; run < kRuns; ++run) {
    RemainingTime time(first, 0.99);
    const double machine = 1 + first.common_spread * normal(random);
    double state = normal(random);
    const auto next_step = [&] {
      state =
          noise.likeness * state + std::sqrt(1 - noise.likeness * noise.likeness) * normal(random);
      return kExampleStep * (machine + first.step_spread * state);
    };
    for (int i = 0; i < seen; ++i) time.observe(next_step());
    double rest = 0;
    for (int i = seen; i < total; ++i) rest += next_step();
    late += rest > time.remaining(total - seen, 0).latest_ns ? 1 : 0;
  }
  return static_cast<double>(late) / kRuns;
}

TEST(RemainingTime, LatestIsSeldomExceeded) {
  for (const int seen : {0, 1, 2, 5, 20, 100}) {
    EXPECT_LE(exceeded(seen, 200, {}), 0.015) << seen << " steps seen";
  }
  EXPECT_GE(exceeded(0, 200, {}), 0.005) << "the bound says nothing";
}

TEST(RemainingTime, LatestIsSeldomExceededWhereStepsResembleTheOneBefore) {
  for (const int seen : {1, 5, 20, 100}) {
    EXPECT_LE(exceeded(seen, 200, {0.6}), 0.04) << seen << " steps seen";
  }
}

}  // namespace
}  // namespace millrace
