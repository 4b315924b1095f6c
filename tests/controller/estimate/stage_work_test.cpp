#include "controller/estimate/stage_work.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "millrace/errors.hpp"
#include "tests/controller/estimate/example.hpp"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using testing::example_plan;
using testing::example_profile;

TEST(MicroBatches, TheLastTakesTheRest) {
  const Plan plan = example_plan();
  EXPECT_THAT(micro_batches_of(plan, 16), ElementsAre(8, 8));
  EXPECT_THAT(micro_batches_of(plan, 17), ElementsAre(8, 8, 1));
  EXPECT_THAT(micro_batches_of(plan, 3), ElementsAre(3));
  EXPECT_THROW(micro_batches_of(plan, 0), InternalError);
}

TEST(StageTimes, FullMicroBatchesTakeWhatThePlanSays) {
  Plan plan = example_plan();
  plan.stages[0].forward_ns = 123;  // a load factor, say, that the profile's curves do not hold
  plan.stages[1].update_ns = 7;
  const auto times = stage_times(example_profile(2), plan, {8, 8});
  EXPECT_THAT(times[0].forward_ns, ElementsAre(123, 123));
  EXPECT_THAT(times[1].backward_ns, ElementsAre(160, 160));
  EXPECT_EQ(times[1].update_ns, 7);
  EXPECT_TRUE(times[0].send_forward_ns.empty());
}

TEST(StageTimes, SmallerOnesFollowTheProfilesCurve) {
  Profile profile = example_profile(2);
  profile.layers[0].forward_ns["core"] = {45, 80};  // 40 ns + 5 ns per sample
  const auto times = stage_times(profile, example_plan(), {8, 2});
  EXPECT_THAT(times[0].forward_ns, ElementsAre(80, 50));
  EXPECT_THAT(times[0].backward_ns, ElementsAre(160, 40));
}

TEST(StageTimes, SmallerOnesAreProportionalWhereTheProfileKnowsNothing) {
  Plan plan = example_plan();
  plan.stages[0].layers = {"unknown"};
  EXPECT_THAT(stage_times(example_profile(2), plan, {8, 2})[0].forward_ns, ElementsAre(80, 20));
}

TEST(StageTimes, TheSlowestReplicaCounts) {
  Profile profile = example_profile(2);
  profile.kinds.push_back({"little", 1, {}, 0, 0});
  profile.layers[0].forward_ns["little"] = {30, 240};
  Plan plan = example_plan();
  plan.stages[0].devices = {{"core", 0}, {"little", 4}};
  plan.stages[0].shares = {6, 2};  // 60 ns each at 8 samples
  plan.stages[0].forward_ns = 60;
  // 4 samples: 3 and 1, 30 ns each
  EXPECT_THAT(stage_times(profile, plan, {8, 4})[0].forward_ns, ElementsAre(60, 30));
}

TEST(StageTimes, ThreadsAndFeaturesHaveCurvesOfTheirOwn) {
  Profile profile = example_profile(2);
  PassWidths widths;
  widths.forward["core"][2] = {30, 65};  // 25 ns + 5 ns per sample
  profile.layers[0].threads_ns = widths;
  profile.layers[0].features_ns = widths;
  Plan plan = example_plan();
  plan.stages[0].devices = {{"core", 0}, {"core", 1}};
  plan.stages[0].split = Split::threads;
  plan.stages[0].forward_ns = 130;
  EXPECT_THAT(stage_times(profile, plan, {3})[0].forward_ns, ElementsAre(80));
  plan.stages[0].split = Split::features;
  plan.stages[0].shares = {4, 4};
  plan.stages[0].feature_layers = {"a"};
  EXPECT_THAT(stage_times(profile, plan, {3})[0].forward_ns, ElementsAre(80));
}

TEST(StageTimes, RecomputationIsPartOfTheBackward) {
  Profile profile = example_profile(2);
  profile.layers[0].forward_ns["core"] = {45, 80};
  Plan plan = example_plan();
  plan.stages[0].recompute = {"a"};
  plan.stages[0].backward_ns = 240;
  EXPECT_THAT(stage_times(profile, plan, {2})[0].backward_ns, ElementsAre(90));
}

/// Three stages "a", "b", "c" and a skip from "a" to "c"; 1 ns per byte and device, 5 ns latency.
struct Linked {
  Profile profile = example_profile(3);
  Plan plan = example_plan();

  Linked() {
    profile.overlapped_transfers = true;
    profile.kinds[0].link_ns_per_byte = 1;
    profile.kinds[0].link_latency_ns = 5;
    profile.layers.push_back(profile.layers[0]);
    profile.layers.back().name = "c";
    profile.tensors = {{"a", {"b", "c"}, 4, false}, {"b", {"c"}, 3, false}};
    plan.stages.push_back(plan.stages[1]);
    plan.stages.back().layers = {"c"};
  }

  std::vector<StageTimes> times() const { return stage_times(profile, plan, {8}); }
};

TEST(StageTimes, ATensorIsSentOncePerBorderThatItCrosses) {
  const auto times = Linked().times();
  EXPECT_THAT(times[0].send_forward_ns, ElementsAre(2 * (4 * 8 + 5)));
  EXPECT_THAT(times[1].send_forward_ns, ElementsAre(2 * (4 * 8 + 5) + 2 * (3 * 8 + 5)));
  EXPECT_TRUE(times[2].send_forward_ns.empty());
}

TEST(StageTimes, GradientsHaveTheActivationsSizeUnlessTheyAreGiven) {
  Linked linked;
  EXPECT_THAT(linked.times()[2].send_backward_ns, ElementsAre(2 * (4 * 8 + 5) + 2 * (3 * 8 + 5)));
  linked.profile.tensors.push_back({"c", {"b"}, 0, true});
  EXPECT_THAT(linked.times()[2].send_backward_ns, ElementsAre(2 * (4 * 8 + 5) + 2 * 5));
  EXPECT_THAT(linked.times()[1].send_backward_ns, ElementsAre(2 * (4 * 8 + 5)));
}

TEST(StageTimes, TransfersThatOccupyTheDeviceAreInThePlansTimes) {
  Linked linked;
  linked.profile.overlapped_transfers = false;
  EXPECT_TRUE(linked.times()[0].send_forward_ns.empty());
}

}  // namespace
}  // namespace millrace
