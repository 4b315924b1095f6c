#include "controller/estimate/what_if.hpp"

#include <gmock/gmock.h>

#include "millrace/errors.hpp"
#include "tests/controller/estimate/example.hpp"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(ParseCounts, TakesRangesAndLists) {
  EXPECT_THAT(parse_counts("--core-counts", "1..4"), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(parse_counts("--core-counts", "4,1,2,1"), ElementsAre(1, 2, 4));
  EXPECT_THAT(parse_counts("--core-counts", "8,1..3,3..4"), ElementsAre(1, 2, 3, 4, 8));
  EXPECT_THAT(parse_counts("--core-counts", "5..5"), ElementsAre(5));
}

TEST(ParseCounts, AnythingElseIsRefused) {
  for (const char* text : {"0..3", "4..2", "abc", "", "1,", ",1", "1..", "..3", "1...3", "-1",
                           "1.5", "1..2..3", "99999999999", "1 2"})
    EXPECT_THAT([&] { parse_counts("--core-counts", text); },
                ThrowsMessage<ConfigError>(::testing::AllOf(
                    HasSubstr(std::string("--core-counts ") + text), HasSubstr("1..8 or 1,2,4"))))
        << text;
}

/// Two big cores, a GPU, four little ones.
Profile three_kinds() {
  Profile profile = testing::example_profile(2);
  profile.kinds = {{"big", 2, {}, 0, 0}, {"gpu", 1, {}, 0, 0}, {"little", 4, {}, 0, 0}};
  for (LayerCosts& layer : profile.layers) {
    layer.forward_ns = {{"big", {10, 80}}, {"gpu", {1, 2}}, {"little", {40, 320}}};
    layer.backward_ns = {{"big", {20, 160}}, {"gpu", {2, 4}}, {"little", {80, 640}}};
    layer.update_ns = {{"big", 1}, {"gpu", 1}, {"little", 4}};
    layer.loaded = {{"big", 1.1}, {"little", 1.2}};
    layer.threads_ns.emplace();
    layer.threads_ns->forward = {{"little", {{2, {25, 200}}}}};
    layer.threads_ns->backward = {{"little", {{2, {45, 400}}}}};
  }
  return profile;
}

TEST(FastestCores, TakesTheFirstKindsFirstAndLeavesOtherDevices) {
  const Profile profile = three_kinds();
  EXPECT_EQ(core_count(profile), 6);
  EXPECT_THAT(fastest_cores(profile, 1), ElementsAre(1, 1, 0));
  EXPECT_THAT(fastest_cores(profile, 2), ElementsAre(2, 1, 0));
  EXPECT_THAT(fastest_cores(profile, 5), ElementsAre(2, 1, 3));
}

TEST(LimitedTo, KindsWithoutDevicesAreGone) {
  const Profile profile = limited_to(three_kinds(), {1, 1, 0});
  ASSERT_EQ(profile.kinds.size(), 2u);
  EXPECT_EQ(profile.kinds[0].count, 1);
  for (const LayerCosts& layer : profile.layers) {
    EXPECT_FALSE(layer.forward_ns.contains("little"));
    EXPECT_FALSE(layer.update_ns.contains("little"));
    EXPECT_FALSE(layer.loaded.contains("little"));
    EXPECT_FALSE(layer.threads_ns) << "teams of little cores alone were measured";
  }
  EXPECT_NO_THROW(check_profile(profile, "a test"));
  EXPECT_EQ(limited_to(three_kinds(), {2, 1, 4}), three_kinds());
}

TEST(LimitedTo, FewerCoresGiveTheirOwnBestPlan) {
  const Profile profile = testing::example_profile(4);
  PlanRequest request;
  request.batch = 16;
  double before = 0;
  for (int cores = 1; cores <= 4; ++cores) {
    const auto found = search_plan(limited_to(profile, fastest_cores(profile, cores)), request);
    const Plan& plan = std::get<Plan>(found);
    std::size_t devices = 0;
    for (const PlanStage& stage : plan.stages) devices += stage.devices.size();
    EXPECT_LE(devices, static_cast<std::size_t>(cores));
    EXPECT_TRUE(cores == 1 || plan.value_ns < before) << cores;
    EXPECT_NEAR(plan.value_ns, 2 * 30.0 * ((16 + cores - 1) / cores), 1e-9) << "equal shares";
    before = plan.value_ns;
  }
}

TEST(Efficiency, IsTheSpeedByTheCoresAgainstOne) {
  Estimate one, four;
  one.step.expected_ns = 100;
  four.step.expected_ns = 50;
  EXPECT_DOUBLE_EQ(efficiency_percent(one, four, 4), 50);
  EXPECT_DOUBLE_EQ(efficiency_percent(one, one, 1), 100);
}

PlanOption option(int cores, double expected_ns, double latest_ns) {
  PlanOption option;
  option.cores = cores;
  option.plan = testing::example_plan();
  option.estimate.run = {expected_ns, latest_ns};
  return option;
}

TEST(FewestCoresInTime, TakesTheFirstWhoseLatestTimeIsInTime) {
  const std::vector<PlanOption> options = {option(1, 90, 120), option(2, 50, 70),
                                           option(3, 40, 50)};
  EXPECT_EQ(fewest_cores_in_time(options, 120), 0u);
  EXPECT_EQ(fewest_cores_in_time(options, 119), 1u) << "the expected time does not count";
  EXPECT_EQ(fewest_cores_in_time(options, 70), 1u) << "to the nanosecond";
  EXPECT_EQ(fewest_cores_in_time(options, 69), 2u);
  EXPECT_EQ(fewest_cores_in_time(options, 49), std::nullopt);
  EXPECT_EQ(fewest_cores_in_time({}, 49), std::nullopt);
}

TEST(FewestCoresInTime, OfEquallyManyCoresTheOneThatIsDoneFirst) {
  const std::vector<PlanOption> options = {option(4, 10, 20), option(2, 60, 80), option(2, 60, 70),
                                           option(2, 50, 70)};
  EXPECT_EQ(fewest_cores_in_time(options, 100), 2u) << "the first of equals";
}

TEST(FewestCoresInTime, WithoutAPlanNothingIsInTime) {
  PlanOption none = option(1, 0, 0);
  none.plan.reset();
  EXPECT_EQ(fewest_cores_in_time({none, option(2, 5, 6)}, 10), 1u);
  EXPECT_EQ(fastest_option({none, option(2, 5, 6)}), 1u);
  EXPECT_EQ(fastest_option({none}), std::nullopt);
}

TEST(FastestOption, IsByTheExpectedTime) {
  EXPECT_EQ(fastest_option({option(1, 90, 91), option(2, 50, 99), option(4, 60, 61)}), 1u);
}

}  // namespace
}  // namespace millrace
