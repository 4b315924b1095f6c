// Plans whose sets of devices have several stages: by hand, and against all plans of small chains.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <limits>
#include <random>

#include "millrace/errors.hpp"
#include "millrace/plan.hpp"
#include "millrace/schedule.hpp"
#include "tests/framework/plan/cost_fixtures.hpp"

namespace millrace {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Plan planned(const Profile& profile, const PlanRequest& request) {
  return std::get<Plan>(search_plan(profile, request));
}

/// What the plan says holds when it is checked, and survives a file.
void expect_consistent(const Plan& plan, const Profile& profile, const PlanRequest& request) {
  const Plan checked = check_plan(plan, profile, request);
  EXPECT_EQ(checked.stages, plan.stages);
  EXPECT_EQ(checked.value_ns, plan.value_ns);
  EXPECT_EQ(checked.memory_bytes, plan.memory_bytes);
  EXPECT_LE(plan.bound_ns, plan.value_ns);
  EXPECT_EQ(plan_from_json(to_json(plan), "p.json"), plan);
}

PlanRequest pipelines(std::int64_t batch, std::int64_t micro_batch) {
  PlanRequest request;
  request.batch = batch;
  request.micro_batch = micro_batch;
  request.max_replicas = 1;
  request.any_cut = true;
  return request;
}

/// Four layers of F = 1 and B = 2 on two cores, four micro-batches: 1F1B fills and drains with two
/// layers each way, turns with one.
TEST(AnyCut, LanesInTurnsFillAndDrainInHalfTheTime) {
  const Profile profile = fixtures::plain_chain({1, 1, 1, 1}, 2);
  PlanRequest request = pipelines(4, 1);
  const Plan plan = planned(profile, request);
  EXPECT_EQ(plan.schedule, "interleaved");
  EXPECT_THAT(lanes_of(plan), ElementsAre(0, 1, 0, 1));
  EXPECT_DOUBLE_EQ(plan.value_ns, 4 * 6 + 3);
  EXPECT_DOUBLE_EQ(plan.bound_ns, 4 * 6);
  EXPECT_FALSE(plan.optimal);
  expect_consistent(plan, profile, request);
  EXPECT_THAT(explain(plan, profile), HasSubstr("  stage 0,2 |F"));
  request.any_cut = false;
  EXPECT_DOUBLE_EQ(planned(profile, request).value_ns, 4 * 6 + 6);
  request.schedule = "interleaved";
  EXPECT_EQ(planned(profile, request).stages, plan.stages);
}

/// A fast device that cannot run the layer in the middle.
Profile with_a_gap() {
  Profile profile = fixtures::plain_chain({10, 10, 10}, 1);
  DeviceKind gpu = profile.kinds.front();
  gpu.name = "gpu";
  profile.kinds.push_back(gpu);
  for (LayerCosts& layer : profile.layers) {
    if (layer.name == "l1") continue;
    for (auto* pass : {&layer.forward_ns, &layer.backward_ns})
      for (const double ns : std::vector<double>((*pass)["core"]))
        (*pass)["gpu"].push_back(ns / 10);
  }
  return profile;
}

TEST(AnyCut, WhatOneDeviceCannotRunIsBetweenTwoStagesOfIt) {
  const Profile profile = with_a_gap();
  PlanRequest request = pipelines(8, 1);
  request.objective = Objective::period;
  const Plan plan = planned(profile, request);
  EXPECT_THAT(lanes_of(plan), ElementsAre(0, 1, 0));
  EXPECT_EQ(plan.stages[0].devices.front().kind, "gpu");
  EXPECT_DOUBLE_EQ(plan.value_ns, 30);  // the core's one layer; the gpu's two take 6
  expect_consistent(plan, profile, request);
  request.any_cut = false;
  EXPECT_DOUBLE_EQ(planned(profile, request).value_ns, 60);
}

TEST(AnyCut, WhatOnlyItMakesPossibleIsFoundAndNamed) {
  Profile profile = with_a_gap();
  for (const char* layer : {"l0", "l2"})
    for (LayerCosts& costs : profile.layers)
      if (costs.name == layer)
        for (auto* pass : {&costs.forward_ns, &costs.backward_ns}) pass->erase("core");
  for (const Objective objective : {Objective::makespan, Objective::period}) {
    PlanRequest request = pipelines(8, 1);
    request.objective = objective;
    EXPECT_THAT(lanes_of(planned(profile, request)), ElementsAre(0, 1, 0));
    request.any_cut = false;
    EXPECT_EQ(std::get<PlanFailure>(search_plan(profile, request)).nearest, "--any-cut");
  }
}

/// With links that overlap with computing, a device is as busy as its computing or its link.
TEST(AnyCut, ThePeriodAddsUpComputingAndLinksApart) {
  Profile profile = with_a_gap();
  profile.overlapped_transfers = true;
  profile.kinds[1].link_ns_per_byte = 1;
  profile.tensors = {{"l0", {"l1"}, 2}, {"l1", {"l2"}, 2}};
  PlanRequest request = pipelines(8, 1);
  request.objective = Objective::period;
  const Plan plan = planned(profile, request);
  ASSERT_THAT(lanes_of(plan), ElementsAre(0, 1, 0));
  EXPECT_DOUBLE_EQ(plan.value_ns, 30);
  profile.layers[1].forward_ns["core"] = profile.layers[0].forward_ns["gpu"];
  profile.layers[1].backward_ns["core"] = profile.layers[0].backward_ns["gpu"];
  // the gpu computes 2 x 3, 2 + 2 come in and 2 + 2 go out, each in a stage of its own
  EXPECT_DOUBLE_EQ(check_plan(plan, profile, request).value_ns, 6);
}

TEST(AnyCut, OneLaneOfSeveralStagesIsNotSlowedByOthers) {
  Profile profile = fixtures::plain_chain({10, 10, 10}, 1);
  for (LayerCosts& layer : profile.layers) layer.loaded["core"] = 2;
  PlanRequest request = pipelines(2, 1);
  Plan plan = planned(profile, request);
  ASSERT_EQ(plan.stages.size(), 1u);
  PlanStage second = plan.stages.front();
  plan.stages.front().layers = {"l0"};
  second.layers = {"l1", "l2"};
  for (PlanStage* stage : {&plan.stages.front(), &second}) stage->implementations.clear();
  plan.stages.push_back(second);
  plan.schedule = "interleaved";
  EXPECT_DOUBLE_EQ(check_plan(plan, profile, request).value_ns, 2 * 90);
}

TEST(AnyCut, ADeviceNeedsRoomForAllOfItsStages) {
  Profile profile = with_a_gap();
  for (LayerCosts& layer : profile.layers) layer.saved_bytes = 100;
  PlanRequest request = pipelines(1, 1);
  request.objective = Objective::period;
  profile.kinds[1].memory_bytes = 200;
  const Plan plan = planned(profile, request);
  EXPECT_THAT(lanes_of(plan), ElementsAre(0, 1, 0));
  profile.kinds[1].memory_bytes = 199;
  EXPECT_LT(lanes_of(planned(profile, request)).size(), 3u);
  try {
    check_plan(plan, profile, request);
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("stage 0: needs 200 B on \"gpu\", which has 199 B"));
  }
}

Profile random_chain(std::mt19937& random, int kinds) {
  Profile profile = fixtures::plain_chain(std::vector<double>(2 + random() % 4, 1), 1);
  for (int kind = 1; kind < kinds; ++kind) {
    DeviceKind other = profile.kinds.front();
    other.name = "kind" + std::to_string(kind);
    profile.kinds.push_back(other);
  }
  for (LayerCosts& layer : profile.layers)
    for (const DeviceKind& kind : profile.kinds)
      for (auto* pass : {&layer.forward_ns, &layer.backward_ns}) {
        const double per_sample = 1 + double(random() % 20);
        std::vector<double>& ns = (*pass)[kind.name];
        ns.clear();
        for (const std::int64_t samples : profile.samples)
          ns.push_back(per_sample * double(samples));
      }
  return profile;
}

/// The least over every giving of layers to devices; each run of one device's layers is a stage.
double least_of_all(const Profile& profile, const PlanRequest& request) {
  const std::size_t L = profile.layers.size(), K = profile.kinds.size();
  const std::int64_t M = request.batch / *request.micro_batch;
  double least = std::numeric_limits<double>::infinity();
  std::size_t all = 1;
  for (std::size_t l = 0; l < L; ++l) all *= K;
  for (std::size_t code = 0; code < all; ++code) {
    std::vector<std::size_t> devices;
    std::vector<int> lanes, lane_of(K, -1);
    std::vector<StageTimes> times;
    std::vector<double> loads(K, 0);
    for (std::size_t l = 0, rest = code; l < L; ++l, rest /= K) {
      const std::size_t device = rest % K;
      const std::string& kind = profile.kinds[device].name;
      const double n = double(*request.micro_batch);
      const double F = n * profile.layers[l].forward_ns.at(kind).front();
      const double B = n * profile.layers[l].backward_ns.at(kind).front();
      loads[device] += F + B;
      if (devices.empty() || devices.back() != device) {
        devices.push_back(device);
        if (lane_of[device] < 0)
          lane_of[device] = lanes.empty() ? 0 : 1 + *std::max_element(lanes.begin(), lanes.end());
        lanes.push_back(lane_of[device]);
        times.push_back({{0}, {0}});
      }
      times.back().forward_ns[0] += F;
      times.back().backward_ns[0] += B;
    }
    const double value =
        request.objective == Objective::period
            ? *std::max_element(loads.begin(), loads.end())
            : simulate_makespan_ns(make_schedule("interleaved", lanes, int(M)), times);
    least = std::min(least, value);
  }
  return least;
}

TEST(AnyCut, IsSeldomBehindTheBestOfAllPlansAndItsBoundNeverAbove) {
  std::mt19937 random(41);
  double worst = 1;
  int best = 0, rounds = 0, better_than_contiguous = 0;
  for (const Objective objective : {Objective::period, Objective::makespan})
    for (int round = 0; round < 150; ++round) {
      const Profile profile = random_chain(random, 2 + int(random() % 2));
      PlanRequest request = pipelines(6, 1 + std::int64_t(random() % 3));
      request.objective = objective;
      const Plan plan = planned(profile, request);
      const double least = least_of_all(profile, request);
      ASSERT_LE(plan.bound_ns, least * (1 + 1e-9));
      worst = std::max(worst, plan.value_ns / least);
      if (plan.value_ns <= least * (1 + 1e-9)) ++best;
      ++rounds;
      ASSERT_NO_FATAL_FAILURE(expect_consistent(plan, profile, request));
      request.any_cut = false;
      const Plan contiguous = planned(profile, request);
      ASSERT_LE(plan.value_ns, contiguous.value_ns * (1 + 1e-9));
      if (plan.value_ns < contiguous.value_ns * 0.99) ++better_than_contiguous;
    }
  std::cout << best << " of " << rounds << " are the best of all plans, the worst takes " << worst
            << " times as long\n";
  EXPECT_LT(worst, 1.25);
  EXPECT_GT(best, rounds * 9 / 10);
  EXPECT_GT(better_than_contiguous, rounds / 4);
}

std::string error_of(const Plan& plan, const Profile& profile, const PlanRequest& request) {
  try {
    check_plan(plan, profile, request);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(AnyCut, PlansThatCannotRunAreRefused) {
  const Profile profile = fixtures::plain_chain({1, 1, 1, 1}, 4);
  PlanRequest request = pipelines(4, 2);
  request.cpus["core"] = {0, 1};
  Plan plan = planned(profile, request);
  request.cpus.clear();
  ASSERT_THAT(lanes_of(plan), ElementsAre(0, 1, 0, 1));
  ASSERT_EQ(error_of(plan, profile, request), "");
  Plan other = plan;
  other.schedule = "1f1b";
  EXPECT_THAT(error_of(other, profile, {}),
              HasSubstr("stages 0 and 2 have the same devices, and the schedule \"1f1b\""));
  other = plan;
  other.stages[2].devices.push_back({"core", 3});
  other.stages[2].shares = {1, 1};
  EXPECT_THAT(error_of(other, profile, request),
              HasSubstr("stage 2: device 0 of \"core\" is used twice"));
  other = plan;
  other.stages[2].split = Split::threads;
  EXPECT_NE(error_of(other, profile, request), "");
  other = plan;
  other.stages[0].devices.push_back(other.stages[0].devices.front());
  EXPECT_THAT(error_of(other, profile, request), HasSubstr("is there twice: name it once"));
  PlanRequest asked = request;
  asked.schedule = "fill-drain";
  EXPECT_THROW(search_plan(profile, asked), ConfigError);
}

}  // namespace
}  // namespace millrace
