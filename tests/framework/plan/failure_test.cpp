#include "framework/plan/failure.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "framework/plan/plan_request.hpp"
#include "tests/framework/plan/cost_fixtures.hpp"
#include "tests/framework/plan/exhaustive.hpp"
#include "tests/framework/plan/random_costs.hpp"

namespace millrace {
namespace {

using testing::HasSubstr;

/// Weights 300 bytes in all, 3 kept of each; 100 bytes saved per layer and sample, of which 200 are
/// enough at a time: the first and the last layer are made again from what others keep.
Profile costs() {
  Profile profile = fixtures::plain_chain({10, 10, 10}, 2);
  for (auto& layer : profile.layers) {
    layer.weights_bytes = 100;
    layer.saved_bytes = 100;
  }
  return profile;
}

PlanRequest tight(std::int64_t bytes) {
  PlanRequest request;
  request.batch = 8;
  request.memory_bytes = bytes;
  return request;
}

PlanFailure failure_of(const Profile& profile, const PlanRequest& request) {
  const auto result = search_plan(profile, request);
  const auto* failure = std::get_if<PlanFailure>(&result);
  return failure == nullptr ? PlanFailure{"a plan", "a plan"} : *failure;
}

TEST(PlanFailure, NamesWhatTheSmallestPlanNeeds) {
  const PlanFailure failure = failure_of(costs(), tight(1000));
  EXPECT_EQ(failure.reason, "the smallest plan needs 1.07 KiB, the budget is 1000 B");
  EXPECT_EQ(failure.nearest, "--memory 1100");
  EXPECT_EQ(failure_of(costs(), tight(1099)).nearest, "--memory 1100");
  EXPECT_EQ(failure_of(costs(), tight(1100)).nearest, "a plan");
}

TEST(PlanFailure, NamesTheFlagThatIsEnough) {
  PlanRequest request = tight(1300);
  request.micro_batch = 8;
  EXPECT_EQ(failure_of(costs(), request).nearest, "--micro-batch auto");
  request = tight(1300);
  request.schedule = "fill-drain";
  request.recompute = RecomputePolicy::none;
  EXPECT_EQ(failure_of(costs(), request).nearest, "--recompute auto");
}

TEST(PlanFailure, NamesTheMemoryWithAndWithoutTheFlag) {
  PlanRequest request = tight(500);
  request.micro_batch = 8;
  const PlanFailure failure = failure_of(costs(), request);
  EXPECT_EQ(failure.nearest, "--memory 2500, or --micro-batch auto --memory 1100");
}

TEST(PlanFailure, LargeSizesAreWholeMebibytes) {
  Profile profile = costs();
  profile.layers[0].weights_bytes = 100e6;
  const PlanFailure failure = failure_of(profile, tight(1000));
  EXPECT_EQ(failure.nearest, "--memory 287M");
  PlanRequest request = tight(287ll << 20);
  EXPECT_EQ(failure_of(profile, request).reason, "a plan");
}

TEST(PlanFailure, NamesALayerThatNoDeviceCanRun) {
  Profile profile = costs();
  profile.kinds.push_back({"gpu", 1});
  profile.layers[1].forward_ns = {{"gpu", {1}}};
  profile.layers[1].backward_ns = {{"gpu", {1}}};
  PlanRequest request;
  request.batch = 8;
  EXPECT_EQ(failure_of(profile, request).reason, "a plan");
  request.cpus = {{"core", {0, 1}}, {"gpu", {}}};
  const PlanFailure failure = failure_of(profile, request);
  EXPECT_EQ(failure.reason, "layer \"l1\" has costs on gpu only, and no such device is allowed");
  EXPECT_THAT(failure.nearest, HasSubstr("allow a device of the kind gpu"));
}

TEST(PlanFailure, NamesTheStagesThatAreMissing) {
  Profile profile = costs();
  profile.kinds.push_back({"gpu", 1});
  profile.layers[2].forward_ns = {{"gpu", {1}}};
  profile.layers[2].backward_ns = {{"gpu", {1}}};
  PlanRequest request;
  request.batch = 8;
  request.max_stages = 1;
  const PlanFailure failure = failure_of(profile, request);
  EXPECT_THAT(failure.reason, HasSubstr("no cut of the layers"));
  EXPECT_EQ(failure.nearest, "a larger --max-stages");
}

TEST(PlanFailure, DeviceBudgetsThatNothingHelpsAgainst) {
  Profile profile = costs();
  profile.kinds[0].memory_bytes = 10;
  PlanRequest request;
  request.batch = 8;
  EXPECT_THAT(failure_of(profile, request).nearest, HasSubstr("more memory for the kinds"));
}

TEST(LeastBytes, IsTheLeastOfAllPlans) {
  std::mt19937 random(99);
  int finite = 0;
  for (int round = 0; round < 150; ++round) {
    SCOPED_TRACE(round);
    auto [profile, request] = fixtures::random_instance(random);
    request.max_replicas.reset();
    request.memory_bytes = 1;  // any budget: without one, nothing is recomputed
    for (auto& kind : profile.kinds) kind.memory_bytes.reset();  // the shared one alone
    const oracle::Best best = oracle::exhaust(profile, request);
    const CostModel model(profile, device_counts(device_numbers(request, profile)),
                          request.objective);
    const double least = least_bytes(model, make_space(request, profile));
    if (std::isinf(best.least_bytes)) {
      EXPECT_TRUE(std::isinf(least));
      continue;
    }
    ++finite;
    EXPECT_NEAR(least, best.least_bytes, 1e-9 * best.least_bytes);
  }
  EXPECT_GT(finite, 100);
}

}  // namespace
}  // namespace millrace
