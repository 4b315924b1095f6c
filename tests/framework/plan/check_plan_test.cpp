#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "millrace/errors.hpp"
#include "millrace/plan.hpp"
#include "millrace/schedule.hpp"
#include "tests/framework/plan/cost_fixtures.hpp"

namespace millrace {
namespace {

using fixtures::alexnet;
using testing::HasSubstr;

const Profile& costs() {
  static const Profile profile = alexnet({{"big", 4, 30}, {"little", 4, 7, 4}});
  return profile;
}

/// Two stages written by hand: convolutions on four big cores, the rest on two LITTLE ones.
Plan by_hand() {
  Plan plan;
  plan.model = "alexnet";
  plan.batch = 20;
  plan.micro_batch = 8;
  plan.micro_batches = 3;
  plan.schedule = "1f1b";
  PlanStage front, back;
  for (const auto& layer : costs().layers) {
    (layer.name.starts_with("features") ? front : back).layers.push_back(layer.name);
  }
  for (int cpu : {4, 5, 6, 7}) front.devices.push_back({"big", cpu});
  front.shares = {2, 2, 2, 2};
  back.devices = {{"little", 0}, {"little", 3}};
  back.shares = {4, 4};
  back.split = Split::features;
  plan.stages = {front, back};
  return plan;
}

std::string error_of(const std::function<void(Plan&)>& change, const PlanRequest& request = {},
                     const Profile& profile = costs()) {
  Plan plan = by_hand();
  change(plan);
  try {
    check_plan(plan, profile, request);
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.tag(), "plan");
    return error.what();
  }
  return "";
}

/// Both stages keep less than before and take longer: the first by features.3's forward time.
TEST(CheckPlan, AStageMayRecomputeSomeOfItsLayers) {
  const Plan all_kept = check_plan(by_hand(), costs(), {});
  Plan plan = by_hand();
  plan.stages[0].recompute = {"features.3", "features.4"};
  plan.stages[1].split = Split::samples;
  plan.stages[1].recompute = {"classifier.2"};
  const Plan some = check_plan(plan, costs(), {});
  EXPECT_EQ(some.stages[0].recompute, plan.stages[0].recompute);
  EXPECT_GT(some.stages[0].backward_ns, all_kept.stages[0].backward_ns);
  EXPECT_EQ(some.stages[0].forward_ns, all_kept.stages[0].forward_ns);
  EXPECT_LT(some.stages[0].memory_bytes, all_kept.stages[0].memory_bytes);
  plan.stages[0].recompute = plan.stages[0].layers;
  std::reverse(plan.stages[0].recompute.begin(), plan.stages[0].recompute.end());
  const Plan all = check_plan(plan, costs(), {});
  EXPECT_NEAR(all.stages[0].backward_ns,
              all_kept.stages[0].backward_ns + all_kept.stages[0].forward_ns,
              1e-6 * all.stages[0].backward_ns);
  EXPECT_LT(some.stages[0].backward_ns, all.stages[0].backward_ns);
  EXPECT_THAT(error_of([](Plan& p) { p.stages[1].recompute = {"classifier.1"}; }),
              HasSubstr("and is split by features: name all of them or none"));
}

/// l0 -> l1 -> l2, and l3 that reads l0 and is read by nobody: an auxiliary head.
TEST(CheckPlan, AHeadMayRunInAnyStageBehindWhatItReads) {
  Profile profile = fixtures::plain_chain({10, 20, 10, 5}, 2);
  profile.tensors = {{"l0", {"l1", "l3"}, 10}, {"l1", {"l2"}, 5}};
  profile = profile_from_json(to_json(profile), "made");
  Plan plan;
  plan.model = profile.model;
  plan.batch = plan.micro_batch = 4;
  plan.micro_batches = 1;
  plan.schedule = "1f1b";
  const std::vector<std::vector<std::vector<std::string>>> divisions = {
      {{"l0", "l1", "l2"}, {"l3"}}, {{"l0", "l3"}, {"l1", "l2"}}, {{"l0", "l1"}, {"l3", "l2"}}};
  for (const auto& layers : divisions) {
    plan.stages.assign(2, {});
    for (int s : {0, 1}) {
      plan.stages[std::size_t(s)].layers = layers[std::size_t(s)];
      plan.stages[std::size_t(s)].devices = {{"core", s}};
      plan.stages[std::size_t(s)].shares = {4};
    }
    // one micro-batch of 4 samples: forward and twice as long backward, one stage after the other
    EXPECT_DOUBLE_EQ(check_plan(plan, profile, {}).value_ns, 4 * 3 * (10 + 20 + 10 + 5));
  }
  plan.stages[0].layers = {"l0", "l1", "l2"};
  plan.stages[1].layers = {"l3", "l1"};
  EXPECT_THROW(check_plan(plan, profile, {}), ConfigError);
}

/// A plan's memory is in whole bytes, a budget (nine tenths of what is free) need not be.
TEST(CheckPlan, TakesWhatFitsABudgetWithAFraction) {
  Profile profile = fixtures::plain_chain({10}, 1);
  profile.layers[0].saved_bytes = 0.25;
  profile.shared_memory_bytes = 0.5;
  PlanRequest request;
  request.batch = 1;
  const Plan plan = std::get<Plan>(search_plan(profile, request));
  EXPECT_EQ(plan.memory_bytes, 1);
  EXPECT_EQ(check_plan(plan, profile, request).value_ns, plan.value_ns);
}

TEST(CheckPlan, FillsWhatTheCostsSay) {
  const Plan plan = check_plan(by_hand(), costs(), {});
  EXPECT_EQ(plan.stages[0].devices, by_hand().stages[0].devices);
  EXPECT_EQ(plan.stages[1].feature_layers.front(), "classifier.1");
  EXPECT_GT(plan.stages[0].forward_ns, 0);
  EXPECT_GT(plan.stages[1].update_ns, 0);
  EXPECT_EQ(plan.memory_bytes, plan.stages[0].memory_bytes + plan.stages[1].memory_bytes);
  const auto times = predicted_times(plan, costs(), plan.batch);
  EXPECT_EQ(plan.value_ns, simulate_makespan_ns(make_schedule("1f1b", 2, 3), times));
}

TEST(CheckPlan, SaysHowGoodThePlanIs) {
  const Plan plan = check_plan(by_hand(), costs(), {});
  PlanRequest request;
  request.batch = 20;
  const auto best = std::get<Plan>(search_plan(costs(), request));
  EXPECT_FALSE(plan.optimal);
  EXPECT_EQ(plan.bound_ns, best.value_ns);
  EXPECT_LT(plan.bound_ns, plan.value_ns);
  EXPECT_EQ(plan.alternatives.front().name, "searched plan");
  EXPECT_EQ(*plan.alternatives.front().value_ns, best.value_ns);
  EXPECT_THAT(plan.alternatives.front().why_not, HasSubstr("% faster"));
  EXPECT_TRUE(check_plan(best, costs(), request).optimal);
}

TEST(CheckPlan, ASearchedPlanIsItsOwnCheck) {
  for (const Objective objective : {Objective::makespan, Objective::period}) {
    PlanRequest request;
    request.batch = 32;
    request.objective = objective;
    const auto plan = std::get<Plan>(search_plan(costs(), request));
    const Plan checked = check_plan(plan_from_json(to_json(plan), "p.json"), costs(), request);
    EXPECT_EQ(checked.stages, plan.stages);
    EXPECT_EQ(checked.value_ns, plan.value_ns);
    EXPECT_EQ(checked.bound_ns, plan.bound_ns);
    EXPECT_EQ(checked.alternatives, plan.alternatives);
  }
}

TEST(CheckPlan, RefusesAnotherModelOrBatch) {
  EXPECT_THAT(error_of([](Plan& p) { p.model = "lenet"; }),
              HasSubstr("for the model \"lenet\", the costs are of \"alexnet\""));
  EXPECT_THAT(error_of([](Plan& p) { p.batch = 0; }), HasSubstr("the batch is 0"));
  EXPECT_THAT(error_of([](Plan& p) { p.micro_batch = 0; }), HasSubstr("the micro-batch is 0"));
  EXPECT_THAT(error_of([](Plan& p) { p.micro_batches = 4; }),
              HasSubstr("has 4 micro-batches, a batch of 20 in micro-batches of 8 makes 3"));
  EXPECT_THAT(error_of([](Plan& p) { p.schedule = "zigzag"; }), HasSubstr("is no schedule"));
  EXPECT_THAT(error_of([](Plan& p) { p.schedule = "auto"; }), HasSubstr("name the schedule"));
  EXPECT_THAT(error_of([](Plan& p) { p.stages.clear(); }), HasSubstr("has no stages"));
}

TEST(CheckPlan, EveryLayerOnceInOrder) {
  EXPECT_THAT(error_of([](Plan& p) { p.stages[1].layers.pop_back(); }),
              HasSubstr("layer \"classifier.6\" is in no stage"));
  EXPECT_THAT(error_of([](Plan& p) { p.stages[1].layers.push_back("classifier.6"); }),
              HasSubstr("stage 1: has layer \"classifier.6\" for the second time"));
  EXPECT_THAT(error_of([](Plan& p) { p.stages[1].layers.back() = "fc"; }),
              HasSubstr("stage 1: has layer \"fc\", which the model does not have"));
  EXPECT_THAT(
      error_of([](Plan& p) { std::swap(p.stages[0].layers[0], p.stages[0].layers[1]); }),
      HasSubstr("stage 0: has layer \"features.1\" before \"features.0\", which it reads and"));
  EXPECT_THAT(error_of([](Plan& p) { p.stages[0].layers.clear(); }), HasSubstr("has no layers"));
}

TEST(CheckPlan, EachDeviceOnceAndKnown) {
  EXPECT_THAT(error_of([](Plan& p) { p.stages[1].devices[1].cpu = 0; }),
              HasSubstr("stage 1: device 0 of \"little\" is there twice: name it once"));
  EXPECT_THAT(error_of([](Plan& p) { p.stages[1].devices[1].kind = "npu"; }),
              HasSubstr("stage 1: the costs know no kind \"npu\""));
  EXPECT_THAT(error_of([](Plan& p) {
                p.stages[1].devices = {{"big", 8}, {"big", 9}};
              }),
              HasSubstr("uses 5 devices of \"big\", there are 4"));
  EXPECT_THAT(error_of([](Plan& p) { p.stages[0].devices.clear(); }), HasSubstr("has no devices"));
  PlanRequest request;
  request.cpus = {{"big", {4, 5, 6}}, {"little", {0, 3}}};
  EXPECT_THAT(error_of([](Plan&) {}, request),
              HasSubstr("CPU 7 is none of the 3 allowed CPUs of \"big\" (4, 5, 6)"));
}

TEST(CheckPlan, SharesFitTheDevicesAndTheMicroBatch) {
  EXPECT_THAT(error_of([](Plan& p) {
                p.stages[0].shares = {2, 2, 2, 1};
              }),
              HasSubstr("stage 0: shares sum to 7, the micro-batch is 8"));
  EXPECT_THAT(error_of([](Plan& p) {
                p.stages[0].shares = {4, 4, 0, 0};
              }),
              HasSubstr("has a share of 0"));
  EXPECT_THAT(error_of([](Plan& p) {
                p.stages[0].shares = {9, 1, 1, 1};
              }),
              HasSubstr("has a share of 9, the micro-batch has 8"));
  EXPECT_THAT(error_of([](Plan& p) {
                p.stages[0].shares = {4, 4};
              }),
              HasSubstr("has 2 shares for 4 devices, split \"samples\" needs one for each"));
  EXPECT_THAT(error_of([](Plan& p) {
                p.stages[0].split = Split::threads;
                p.stages[0].shares = {3, 3, 2};
              }),
              HasSubstr("has 3 shares for 4 devices, split \"threads\" needs as many devices"));
}

TEST(CheckPlan, SplitsThatALayerDoesNotAllow) {
  Profile profile = costs();
  profile.layers[3].splits = {"samples"};
  EXPECT_THAT(error_of(
                  [](Plan& p) {
                    p.stages[0].split = Split::threads;
                    p.stages[0].shares = {8};
                  },
                  {}, profile),
              HasSubstr("split \"threads\" over 4 devices is not possible: layer \"features.3\""));
  EXPECT_THAT(error_of([](Plan& p) { p.stages[0].split = Split::features; }),
              HasSubstr("split \"features\" over 4 devices is not possible: no linear layer"));
  EXPECT_THAT(error_of([](Plan& p) { p.stages[1].feature_layers = {"classifier.1"}; }),
              HasSubstr("feature_layers are [classifier.1], the rule gives [classifier.1, "));
  EXPECT_THAT(error_of([](Plan& p) { p.stages[0].recompute = {"classifier.1"}; }),
              HasSubstr("recomputes \"classifier.1\", which is none of its layers"));
  EXPECT_THAT(error_of([](Plan& p) {
                p.stages[0].recompute = {"features.1", "features.1"};
              }),
              HasSubstr("recomputes \"features.1\" for the second time"));
}

TEST(CheckPlan, ReplicasOfThreads) {
  Plan plan = by_hand();
  plan.stages[0].split = Split::threads;
  plan.stages[0].shares = {4, 4};
  const Plan checked = check_plan(plan, costs(), {});
  EXPECT_EQ(checked.stages[0].workers(), 2);
  EXPECT_EQ(checked.stages[0].threads_each(), 2);
  EXPECT_GT(checked.stages[0].forward_ns, 0);
}

TEST(CheckPlan, BudgetsHold) {
  PlanRequest request;
  request.memory_bytes = 100'000'000;
  EXPECT_THAT(error_of([](Plan&) {}, request),
              HasSubstr("the budget is 95.4 MiB: leave out --plan"));
  Profile profile = costs();
  profile.kinds[1].memory_bytes = 100e6;
  EXPECT_THAT(error_of([](Plan&) {}, {}, profile), HasSubstr("on \"little\", which has 95.4 MiB"));
}

TEST(CheckPlan, ImplementationsAreKeptAndFilled) {
  Profile profile = costs();
  for (auto& layer : profile.layers) layer.implementation = {{"big", "a"}, {"little", "b"}};
  Plan plan = by_hand();
  plan.stages[0].implementations["features.0"] = {"x", "y", "z"};
  const Plan checked = check_plan(plan, profile, {});
  EXPECT_EQ(checked.stages[0].implementations.at("features.0").weight_gradient, "z");
  EXPECT_EQ(checked.stages[0].implementations.at("features.3").forward, "a");
  EXPECT_EQ(checked.stages[1].implementations.at("classifier.6").forward, "b");
  EXPECT_THAT(error_of([](Plan& p) { p.stages[0].implementations["classifier.6"] = {}; }),
              HasSubstr("implementations names \"classifier.6\", which is none of its layers"));
}

TEST(CheckPlan, SharesMayBeUnevenAndDevicesInAnyOrder) {
  Plan plan = by_hand();
  plan.stages[0].devices = {{"big", 0}, {"little", 1}, {"big", 2}};
  plan.stages[0].shares = {4, 1, 3};
  const Plan checked = check_plan(plan, costs(), {});
  // The slowest is the LITTLE core, or the first big one: each 8 times as slow as a sample there.
  Plan sorted = plan;
  std::swap(sorted.stages[0].devices[1], sorted.stages[0].devices[2]);
  std::swap(sorted.stages[0].shares[1], sorted.stages[0].shares[2]);
  EXPECT_EQ(checked.stages[0].forward_ns, check_plan(sorted, costs(), {}).stages[0].forward_ns);
}

TEST(CheckPlan, PartsOfTheUpdateFollowFromTheCosts) {
  Plan plan = by_hand();
  plan.stages[0].devices = {{"big", 0}, {"little", 1}, {"big", 2}};
  plan.stages[0].shares = {4, 1, 3};
  plan.stages[0].update_shares = {-1, 7};  // what a file says is not used
  const std::vector<double> parts = check_plan(plan, costs(), {}).stages[0].update_shares;
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_DOUBLE_EQ(parts[0], parts[2]);
  EXPECT_GT(parts[0], parts[1]);
  EXPECT_DOUBLE_EQ(parts[0] + parts[1] + parts[2], 1);
  Plan alike = by_hand();
  alike.stages[1].update_shares = {2};
  EXPECT_THAT(check_plan(alike, costs(), {}).stages[1].update_shares, testing::IsEmpty());
}

TEST(CheckPlan, SlicesOfUnlikeDevicesFollowFromTheCosts) {
  Plan plan = by_hand();
  plan.stages[1].split = Split::features;
  plan.stages[1].devices = {{"big", 2}, {"little", 5}};
  plan.stages[1].shares = {6, 2};
  plan.stages[0].devices.resize(2);
  plan.stages[0].shares = {4, 4};
  const PlanStage checked = check_plan(plan, costs(), {}).stages[1];
  ASSERT_EQ(checked.feature_shares.size(), 2U);
  EXPECT_GT(checked.feature_shares[0], checked.feature_shares[1]);
  EXPECT_DOUBLE_EQ(checked.feature_shares[0] + checked.feature_shares[1], 1);
  EXPECT_EQ(checked.feature_layers.front(), "classifier.1");
  Plan other = plan;
  other.stages[1].feature_shares = {0.5, 0.5};
  const PlanStage even = check_plan(other, costs(), {}).stages[1];
  EXPECT_EQ(even.feature_shares, other.stages[1].feature_shares);
  EXPECT_GT(even.forward_ns, checked.forward_ns);
  for (const std::vector<double>& wrong : {std::vector<double>{1}, {0.5, 0.6}, {-0.5, 1.5}}) {
    other.stages[1].feature_shares = wrong;
    EXPECT_THROW(check_plan(other, costs(), {}), ConfigError);
  }
  plan.stages[1].devices[1] = {"big", 3};
  const double measured = check_plan(plan, costs(), {}).stages[1].forward_ns;
  plan.stages[1].feature_shares = {0.5, 0.5};
  EXPECT_DOUBLE_EQ(check_plan(plan, costs(), {}).stages[1].forward_ns, measured);
  plan.stages[1].feature_shares.clear();
  EXPECT_THAT(check_plan(plan, costs(), {}).stages[1].feature_shares, testing::IsEmpty());
}

TEST(CheckPlan, TooManyDifferentSharesAreRefused) {
  const Profile many = fixtures::plain_chain({10}, 20);
  Plan plan;
  plan.model = "plain";
  plan.micro_batches = 1;
  PlanStage stage;
  stage.layers = {"l0"};
  for (int i = 0; i < 20; ++i) {
    stage.devices.push_back({"core", i});
    stage.shares.push_back(1 + i % 2);
    plan.batch += stage.shares.back();
  }
  plan.micro_batch = plan.batch;
  plan.stages = {stage};
  try {
    check_plan(plan, many, {});
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("more than 16 times"));
  }
}

TEST(PredictedTimes, OfAShorterStep) {
  const Plan plan = by_hand();
  const auto whole = predicted_times(plan, costs(), 20);
  const auto two = predicted_times(plan, costs(), 16);
  const auto part = predicted_times(plan, costs(), 4);
  EXPECT_EQ(whole[0].forward_ns.size(), 3u);
  EXPECT_EQ(two[0].forward_ns, (std::vector<double>{whole[0].forward_ns[0]}));
  EXPECT_EQ(part[0].forward_ns, (std::vector<double>{whole[0].forward_ns[2]}));  // 4 are left
  EXPECT_EQ(part[1].update_ns, whole[1].update_ns);
  EXPECT_THROW(predicted_times(plan, costs(), 21), InternalError);
  EXPECT_THROW(predicted_times(plan, costs(), 0), InternalError);
}

}  // namespace
}  // namespace millrace
