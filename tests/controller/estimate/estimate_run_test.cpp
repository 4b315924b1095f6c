#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "controller/estimate/quantile.hpp"
#include "millrace/errors.hpp"
#include "millrace/estimate.hpp"
#include "tests/controller/estimate/example.hpp"

namespace millrace {
namespace {

using testing::example_plan;
using testing::example_profile;
using testing::kExampleBusy;
using testing::kExampleStep;

RunShape steps(std::int64_t count) {
  RunShape shape;
  shape.steps = count;
  return shape;
}

TEST(EstimateRun, AStepIsTheSimulatedOne) {
  const Estimate estimate = estimate_run(example_profile(2), example_plan(), steps(10));
  EXPECT_DOUBLE_EQ(estimate.step.expected_ns, kExampleStep);
  EXPECT_DOUBLE_EQ(estimate.run.expected_ns, 10 * kExampleStep);
  EXPECT_DOUBLE_EQ(estimate.images_per_second, 16e9 / kExampleStep);
  EXPECT_DOUBLE_EQ(estimate.confidence, 0.99);
}

TEST(EstimateRun, DecodingHidesWhereCoresAreIdle) {
  Profile profile = example_profile(2);
  const double idle = 2 * kExampleStep - kExampleBusy;
  profile.loader_ns_per_sample = idle / 16;
  EXPECT_DOUBLE_EQ(estimate_run(profile, example_plan(), steps(1)).step.expected_ns, kExampleStep);
  profile.loader_ns_per_sample = idle / 16 + 10;  // 160 ns more than there is room for
  EXPECT_DOUBLE_EQ(estimate_run(profile, example_plan(), steps(1)).step.expected_ns,
                   kExampleStep + 160.0 / 2);
}

TEST(EstimateRun, CoresWithoutAStageDecode) {
  Profile profile = example_profile(3);
  profile.loader_ns_per_sample = (3 * kExampleStep - kExampleBusy) / 16;
  EXPECT_DOUBLE_EQ(estimate_run(profile, example_plan(), steps(1)).step.expected_ns, kExampleStep);
}

TEST(EstimateRun, SlowerCoresDecodeSlower) {
  Profile profile = example_profile(2);
  profile.kinds.push_back({"little", 2, {}, 0, 0});
  for (LayerCosts& layer : profile.layers) layer.forward_ns["little"] = {40, 320};
  for (LayerCosts& layer : profile.layers) layer.backward_ns["little"] = {80, 640};
  const double fast_cores = 2 + 2 * 0.25;
  profile.loader_ns_per_sample = (fast_cores * kExampleStep - kExampleBusy) / 16 + 10;
  EXPECT_DOUBLE_EQ(estimate_run(profile, example_plan(), steps(1)).step.expected_ns,
                   kExampleStep + 160.0 / fast_cores);
}

TEST(EstimateRun, AGpuDoesNotDecode) {
  Profile profile = example_profile(2);
  profile.kinds.push_back({"gpu", 1, {}, 0, 0});
  profile.loader_ns_per_sample = (2 * kExampleStep - kExampleBusy) / 16 + 10;
  EXPECT_DOUBLE_EQ(estimate_run(profile, example_plan(), steps(1)).step.expected_ns,
                   kExampleStep + 160.0 / 2);
}

TEST(EstimateRun, WhereEveryCoreComputesDecodingIsSharedByAll) {
  Profile profile = example_profile(1);
  profile.loader_ns_per_sample = 5;
  Plan plan = example_plan();
  plan.stages.pop_back();
  plan.stages[0].layers = {"a", "b"};
  EXPECT_DOUBLE_EQ(estimate_run(profile, plan, steps(1)).step.expected_ns, 4 * 240 + 16 * 5);
}

TEST(EstimateRun, ShortStepsEvaluationAndCheckpointsCount) {
  RunShape shape = steps(5);
  shape.short_steps = 2;
  shape.last_step_samples = 8;
  shape.evaluated_samples = 32;
  shape.checkpoints = 3;
  shape.checkpoint_ns = 1000;
  const Estimate estimate = estimate_run(example_profile(2), example_plan(), shape);
  const double short_step = 2 * 240;     // one micro-batch through both stages
  const double evaluation = 2 * 3 * 80;  // two batches of two micro-batches
  EXPECT_DOUBLE_EQ(estimate.run.expected_ns,
                   3 * kExampleStep + 2 * short_step + evaluation + 3 * 1000);
}

TEST(EstimateRun, NoStepsTakeTheTimeOfTheRest) {
  RunShape shape;
  shape.checkpoints = 1;
  shape.checkpoint_ns = 100;
  const Estimate estimate = estimate_run(example_profile(2), example_plan(), shape);
  EXPECT_DOUBLE_EQ(estimate.run.expected_ns, 100);
  EXPECT_GE(estimate.run.latest_ns, 100);
}

TEST(EstimateRun, OneStepRunIsLatestWhenTheStepIs) {
  const Estimate estimate = estimate_run(example_profile(2), example_plan(), steps(1));
  EXPECT_DOUBLE_EQ(estimate.run.latest_ns, estimate.step.latest_ns);
}

TEST(EstimateRun, LatestRisesWithConfidenceAndSpread) {
  const Plan plan = example_plan();
  double previous = kExampleStep * 100;
  for (const double confidence : {0.6, 0.9, 0.99, 0.9999}) {
    const Estimate estimate = estimate_run(example_profile(2), plan, steps(100), confidence);
    EXPECT_DOUBLE_EQ(estimate.run.expected_ns, kExampleStep * 100);
    EXPECT_GT(estimate.run.latest_ns, previous);
    previous = estimate.run.latest_ns;
  }
  Profile wild = example_profile(2);
  wild.layers[0].spread_percent = 80;
  EXPECT_GT(estimate_run(wild, plan, steps(100), 0.9999).run.latest_ns, previous);
}

TEST(EstimateRun, CheckpointsAreUncertain) {
  RunShape shape;
  shape.checkpoints = 2;
  shape.checkpoint_ns = 1000;
  const TimeEstimate run = estimate_run(example_profile(2), example_plan(), shape).run;
  EXPECT_GT(run.latest_ns, run.expected_ns + 2.3 * 0.3 * 2000);
}

TEST(EstimateRun, LayersWithoutASpreadAreTakenAsUncertain) {
  Profile unknown = example_profile(2);
  for (LayerCosts& layer : unknown.layers) layer.spread_percent.reset();
  EXPECT_GT(estimate_run(unknown, example_plan(), steps(9)).run.latest_ns,
            estimate_run(example_profile(2), example_plan(), steps(9)).run.latest_ns);
}

TEST(EstimateRun, RefusesAConfidenceThatIsNone) {
  EXPECT_THROW(estimate_run(example_profile(2), example_plan(), steps(1), 1), ConfigError);
  EXPECT_THROW(estimate_run(example_profile(2), example_plan(), steps(-1)), InternalError);
}

/// Share of 20,000 simulated runs that end after the latest time, where the machine is as the
/// spread says: one deviation per run, and one per step.
double exceeded(const Estimate& estimate, int steps_per_run) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  constexpr int kRuns = 20000;
  int late = 0;
  for (int run = 0; run < kRuns; ++run) {
    const double machine = 1 + estimate.common_spread * normal(random);
    double total = 0;
    for (int i = 0; i < steps_per_run; ++i) {
      total += estimate.step.expected_ns * (machine + estimate.step_spread * normal(random));
    }
    late += total > estimate.run.latest_ns ? 1 : 0;
  }
  return static_cast<double>(late) / kRuns;
}

TEST(EstimateRun, LatestIsExceededAsOftenAsTheConfidenceSays) {
  for (const int count : {1, 3, 40}) {
    for (const double confidence : {0.9, 0.99}) {
      const Estimate estimate =
          estimate_run(example_profile(2), example_plan(), steps(count), confidence);
      EXPECT_NEAR(exceeded(estimate, count), 1 - confidence, 0.2 * (1 - confidence))
          << count << " steps";
    }
  }
}

}  // namespace
}  // namespace millrace
