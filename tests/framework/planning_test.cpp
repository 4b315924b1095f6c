// What lies between the steps of the flow: given plans and the kinds that measuring forms.

#include "framework/planning.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

using ::testing::HasSubstr;

/// CPUs 0 and 1, measured as two kinds of one core each; one layer.
MeasuredProfile two_kinds() {
  MeasuredProfile measured;
  measured.topology.kinds.resize(2);
  for (std::size_t k = 0; k < 2; ++k) {
    CoreKind& kind = measured.topology.kinds[k];
    kind.name = k == 0 ? "big" : "little";
    kind.cpus = {static_cast<int>(k)};
    measured.topology.cores.push_back(kind.cpus);
    measured.topology.limits.allowed_cpus.push_back(static_cast<int>(k));
  }
  Profile& profile = measured.profile;
  profile.model = "small";
  profile.training = true;
  profile.samples = {1, 8};
  profile.kinds.resize(2);
  profile.kinds[0].name = "big";
  profile.kinds[1].name = "little";
  LayerCosts layer;
  layer.name = "fc1";
  layer.splits = {"samples"};
  layer.forward_ns = layer.backward_ns = {{"big", {100, 800}}, {"little", {200, 1600}}};
  profile.layers = {layer};
  return measured;
}

/// One stage on CPUs 0 and 1, written when both were of one kind.
TrainSettings plan_of_one_kind() {
  Plan plan;
  plan.model = "small";
  plan.batch = plan.micro_batch = 8;
  plan.micro_batches = 1;
  PlanStage stage;
  stage.layers = {"fc1"};
  stage.devices = {{"core", 0}, {"core", 1}};
  stage.shares = {5, 3};
  plan.stages = {stage};
  TrainSettings settings;
  settings.plan.batch = 8;
  settings.given_plan = plan;
  return settings;
}

TEST(Planning, AGivenPlanKeepsItsCoresWhenKindsAreFormedAnew) {
  const Plan plan = chosen_plan(two_kinds(), plan_of_one_kind());
  const std::vector<PlannedDevice> devices = {{"big", 0}, {"little", 1}};
  EXPECT_EQ(plan.stages.at(0).devices, devices);
  EXPECT_EQ(plan.stages.at(0).shares, (std::vector<std::int64_t>{5, 3}));
  EXPECT_GE(plan.value_ns, 1200);  // 3 samples on "little", forward and backward
}

TEST(Planning, AGivenPlanWithItsCostsKeepsItsKinds) {
  MeasuredProfile measured = two_kinds();
  TrainSettings settings = plan_of_one_kind();
  Profile costs = measured.profile;
  costs.kinds.resize(1);
  costs.kinds[0].name = "core";
  costs.kinds[0].count = 2;
  costs.layers[0].forward_ns = costs.layers[0].backward_ns = {{"core", {100, 800}}};
  settings.given_costs = measured.profile = costs;
  const Plan plan = chosen_plan(measured, settings);
  EXPECT_EQ(plan.stages.at(0).devices.at(1).kind, "core");
}

/// Three layers on CPUs 0, 1 and 0 again, with the costs that the plan was made for.
TEST(Planning, AGivenPlanMayHaveSeveralStagesOnACore) {
  MeasuredProfile measured = two_kinds();
  TrainSettings settings = plan_of_one_kind();
  LayerCosts layer = measured.profile.layers.front();
  Plan& plan = *settings.given_plan;
  plan.schedule = "interleaved";
  plan.stages.clear();
  measured.profile.layers.clear();
  for (int s = 0; s < 3; ++s) {
    layer.name = "fc" + std::to_string(s);
    measured.profile.layers.push_back(layer);
    PlanStage stage;
    stage.layers = {layer.name};
    stage.devices = {s == 1 ? PlannedDevice{"little", 1} : PlannedDevice{"big", 0}};
    stage.shares = {8};
    plan.stages.push_back(stage);
  }
  measured.profile.tensors = {{"fc0", {"fc1"}, 4}, {"fc1", {"fc2"}, 4}};
  settings.given_costs = measured.profile;
  const Plan checked = chosen_plan(measured, settings);
  EXPECT_DOUBLE_EQ(checked.value_ns, 800 * (1 + 2 + 1) * 2);
  const auto places = worker_places(checked);
  ASSERT_EQ(places.size(), 2u);
  EXPECT_EQ(places[0].at(0).cpus, std::vector<int>{0});
  EXPECT_EQ(places[1].at(0).cpus, std::vector<int>{1});
  ScheduleShelf schedules(checked);
  EXPECT_EQ(schedules.full(), make_schedule("interleaved", {0, 1, 0}, 1));
  EXPECT_EQ(schedules.forward_only(8), make_schedule("forward-only", {0, 1, 0}, 1));
}

TEST(Planning, RefusesCpusThatAreNotAllowed) {
  TrainSettings settings = plan_of_one_kind();
  settings.given_plan->stages[0].devices[1].cpu = 7;
  try {
    chosen_plan(two_kinds(), settings);
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("CPU 7"));
    EXPECT_THAT(error.what(), HasSubstr("0-1"));
  }
}

TEST(Planning, LeavesRoomForTheCallersBatches) {
  MeasuredProfile measured = two_kinds();
  measured.profile.shared_memory_bytes = 1000;
  measured.profile.layers[0].weights_bytes = 100;  // three times with gradients and momentum
  TrainSettings settings;
  settings.plan.batch = 8;
  settings.reserved_bytes = 600;
  EXPECT_LE(chosen_plan(measured, settings).memory_bytes, 400);
  settings.reserved_bytes = 800;
  EXPECT_THROW(chosen_plan(measured, settings), NoPlanError) << "the plan does not fit beside them";
}

std::string refusal_of(const MeasuredProfile& measured, const TrainSettings& settings) {
  try {
    chosen_plan(measured, settings);
  } catch (const NoPlanError& error) {
    return error.what();
  }
  return "";
}

/// Whoever follows it gets a plan.
TEST(Planning, AdvisesTheMemoryThatPlanAndBatchesNeedTogether) {
  MeasuredProfile measured = two_kinds();
  measured.profile.shared_memory_bytes = 5000;
  measured.profile.layers[0].weights_bytes = 100;
  TrainSettings settings;
  settings.plan.batch = 8;
  settings.reserved_bytes = 800;
  settings.plan.memory_bytes = 900;
  const std::string text = refusal_of(measured, settings);
  EXPECT_THAT(text, HasSubstr("the batches that are decoded ahead 800 B, the budget is 900 B"));
  const std::string flag = "nearest: --memory ";
  const auto place = text.find(flag);
  ASSERT_NE(place, std::string::npos) << text;
  settings.plan.memory_bytes = std::stoll(text.substr(place + flag.size()));
  EXPECT_EQ(refusal_of(measured, settings), "");
  measured.profile.shared_memory_bytes = 900;
  EXPECT_THAT(refusal_of(measured, settings), HasSubstr("nearest: a smaller --batch"));
}

TEST(Planning, SearchesWhereNoPlanIsGiven) {
  TrainSettings settings;
  settings.plan.batch = 8;
  const Plan plan = chosen_plan(two_kinds(), settings);
  EXPECT_EQ(plan.stages.at(0).devices.size(), 2U);
}

}  // namespace
}  // namespace millrace
