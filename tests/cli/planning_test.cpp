#include "controller/cli/planning.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "millrace/errors.hpp"

namespace millrace::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

/// Two kinds of one core each; `saved_bytes` per sample of each of the two layers.
Profile two_kinds(double saved_bytes = 0) {
  Profile profile;
  profile.model = "small";
  profile.samples = {1};
  profile.kinds = {{.name = "big"}, {.name = "little"}};
  for (const char* name : {"a", "b"}) {
    LayerCosts layer;
    layer.name = name;
    layer.type = "linear";
    layer.forward_ns = {{"big", {1000}}, {"little", {3000}}};
    layer.backward_ns = {{"big", {2000}}, {"little", {6000}}};
    layer.update_ns = {{"big", 10}, {"little", 30}};
    layer.weights_bytes = 100;
    layer.saved_bytes = saved_bytes;
    layer.splits = {"samples"};
    layer.loaded = {{"big", 1.1}, {"little", 1.2}};
    profile.layers.push_back(layer);
  }
  profile.tensors = {{.from = "a", .to = {"b"}, .bytes = 4}};
  return profile;
}

TEST(PlanRequestOf, TakesTheSettingsOver) {
  RunConfig config;
  config.batch = 32;
  config.micro_batch = 4;
  config.schedule = "fill-drain";
  config.max_stages = 2;
  config.max_replicas = 1;
  config.recompute = RecomputePolicy::none;
  config.objective = Objective::period;
  config.memory_bytes = 1 << 20;
  const PlanRequest request = plan_request(config);
  EXPECT_EQ(request.batch, 32);
  EXPECT_EQ(request.micro_batch, 4);
  EXPECT_EQ(request.schedule, "fill-drain");
  EXPECT_EQ(request.max_stages, 2);
  EXPECT_EQ(request.max_replicas, 1);
  EXPECT_EQ(request.recompute, RecomputePolicy::none);
  EXPECT_EQ(request.objective, Objective::period);
  EXPECT_EQ(request.memory_bytes, 1 << 20);
}

RunConfig with_cores(const std::string& cores) {
  RunConfig config;
  config.cores = cores;
  return config;
}

TEST(SelectKinds, KeepsTheFastestOrTheSlowest) {
  EXPECT_EQ(select_kinds(two_kinds(), with_cores("all")), two_kinds());
  for (const auto& [cores, kind] : {std::pair{"big", "big"}, std::pair{"little", "little"}}) {
    const Profile profile = select_kinds(two_kinds(), with_cores(cores));
    ASSERT_THAT(profile.kinds, SizeIs(1));
    EXPECT_EQ(profile.kinds.front().name, kind);
    for (const LayerCosts& layer : profile.layers) {
      EXPECT_THAT(layer.forward_ns, SizeIs(1));
      EXPECT_THAT(layer.update_ns, SizeIs(1));
      EXPECT_EQ(layer.loaded.count(kind), 1u);
    }
  }
}

TEST(SelectKinds, TakesNoGpuForALittleCore) {
  Profile profile = two_kinds();
  profile.kinds.push_back({"gpu", 1});
  for (LayerCosts& layer : profile.layers) {
    layer.forward_ns["gpu"] = layer.forward_ns["big"];
    layer.backward_ns["gpu"] = layer.backward_ns["big"];
    layer.update_ns["gpu"] = 1;
  }
  EXPECT_EQ(select_kinds(profile, with_cores("little")).kinds.front().name, "little");
  EXPECT_THAT(select_kinds(profile, with_cores("all")).kinds, SizeIs(3));
  RunConfig none = with_cores("all");
  none.gpu = "none";
  EXPECT_EQ(select_kinds(profile, none), two_kinds());
}

TEST(CoresText, NamesGpus) {
  Plan plan;
  plan.stages.resize(3);
  plan.stages[0].devices = {{"big", 0}, {"big", 1}};
  plan.stages[1].devices = {{"gpu", 0}};
  plan.stages[2].devices = {{"little", 4}, {"gpu", 1}};
  EXPECT_EQ(cores_text(plan, 0), "2 cores");
  EXPECT_EQ(cores_text(plan, 1), "1 GPU");
  EXPECT_EQ(cores_text(plan, 2), "1 core and 1 GPU");
}

TEST(SelectKinds, RefusesCpuNumbers) {
  try {
    select_kinds(two_kinds(), with_cores("0-1"));
    FAIL() << "was accepted";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("no CPU numbers"));
  }
}

TEST(EvenPlan, IsOneStageWithEqualShares) {
  PlanRequest request;
  request.batch = 5;
  request.cpus = {{"big", {2}}, {"little", {0}}};
  const Plan plan = even_plan(two_kinds(), request);
  ASSERT_THAT(plan.stages, SizeIs(1));
  EXPECT_THAT(plan.stages.front().layers, ElementsAre("a", "b"));
  EXPECT_THAT(plan.stages.front().shares, ElementsAre(3, 2));
  EXPECT_EQ(plan.stages.front().devices.front(), (PlannedDevice{"big", 2}));
  EXPECT_EQ(plan.micro_batches, 1);
  EXPECT_GT(plan.value_ns, 0);
}

TEST(MakePlan, NoPlanSaysWhyAndWhatWouldDo) {
  RunConfig config;
  config.memory_bytes = 10;
  try {
    make_plan(two_kinds(), config, plan_request(config));
    FAIL() << "made a plan";
  } catch (const NoPlanError& error) {
    EXPECT_THAT(error.what(), HasSubstr("nearest"));
  }
}

TEST(PresentPlan, SaysEachStageOrDrawsOrGivesJson) {
  const Profile profile = two_kinds();
  RunConfig config;
  const Plan plan = make_plan(profile, config, plan_request(config));
  EXPECT_THAT(present_plan(plan, profile, false, false), HasSubstr("stage 0: a to"));
  EXPECT_EQ(present_plan(plan, profile, false, true), explain(plan, profile));
  EXPECT_EQ(plan_from_json(present_plan(plan, profile, true, false), "test"), plan);
}

/// Of the model "small", batch 8: one stage with all devices of kind "big" up to `devices`.
Plan small_plan(std::int64_t micro_batch, int devices) {
  Plan plan;
  plan.model = "small";
  plan.batch = 8;
  plan.micro_batch = micro_batch;
  plan.micro_batches = 8 / micro_batch;
  PlanStage& stage = plan.stages.emplace_back();
  stage.layers = {"a"};
  for (int cpu = 0; cpu < devices; ++cpu) {
    stage.devices.push_back({"big", cpu});
    stage.shares.push_back(micro_batch / devices);
  }
  return plan;
}

/// A search that was asked for beside a plan would be forgotten without a word.
TEST(SettlePlan, RefusesWhatThePlanDoesNotHave) {
  Plan plan = small_plan(4, 2);
  plan.stages.push_back(plan.stages.front());
  plan.stages[1].recompute = {"a"};
  const auto file = std::filesystem::path(testing::TempDir()) / "asked-plan.json";
  std::ofstream(file) << to_json(plan);
  const auto refusal = [&](auto change) -> std::string {
    RunConfig config;
    config.plan_file = file.string();
    change(config);
    try {
      settle_plan(config);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refusal([](auto& c) { c.schedule = "1f1b"; }), "");
  EXPECT_EQ(refusal([](auto& c) { c.micro_batch = 4; }), "");
  EXPECT_EQ(refusal([](auto& c) { c.max_stages = c.max_replicas = 2; }), "");
  EXPECT_THAT(refusal([](auto& c) { c.schedule = "interleaved"; }),
              ::testing::AllOf(HasSubstr("--schedule interleaved"), HasSubstr("has 1f1b")));
  EXPECT_THAT(refusal([](auto& c) { c.micro_batch = 2; }), HasSubstr("has micro-batches of 4"));
  EXPECT_THAT(refusal([](auto& c) { c.max_stages = 1; }), HasSubstr("has 2 stages"));
  EXPECT_THAT(refusal([](auto& c) { c.max_replicas = 1; }), HasSubstr("has 2 in stage 0"));
  EXPECT_THAT(refusal([](auto& c) { c.objective = Objective::period; }), HasSubstr("has makespan"));
  EXPECT_THAT(refusal([](auto& c) { c.recompute = RecomputePolicy::none; }),
              HasSubstr("has stage 1 that recomputes 1 of 1 layers"));
  EXPECT_THAT(refusal([](auto& c) { c.recompute = RecomputePolicy::all; }),
              HasSubstr("has stage 0 that recomputes 0 of 1 layers"));
  std::filesystem::remove(file);
}

TEST(SettlePlan, RefusesWhatTheAlgorithmsLeaveOut) {
  Plan plan = small_plan(8, 1);
  plan.stages[0].implementations["a"] = {"direct", "winograd", "direct"};
  const auto file = std::filesystem::path(testing::TempDir()) / "winograd-plan.json";
  std::ofstream(file) << to_json(plan);
  RunConfig config;
  config.model = "small";
  config.plan_file = file.string();
  EXPECT_EQ(settle_plan(config).batch, 8);
  config.algorithms = Algorithms::direct;
  try {
    settle_plan(config);
    FAIL() << "a plan with Winograd's algorithm was taken";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), ::testing::AllOf(HasSubstr("layer a"), HasSubstr("\"winograd\""),
                                               HasSubstr("--algorithms")));
  }
  std::filesystem::remove(file);
}

TEST(SettlePlan, TakesThePrecisionOfThePlan) {
  Plan plan = small_plan(8, 1);
  plan.stages[0].implementations["a"] = {"winograd-bf16", "winograd-bf16", "winograd-bf16"};
  const auto file = std::filesystem::path(testing::TempDir()) / "bf16-plan.json";
  std::ofstream(file) << to_json(plan);
  RunConfig config;
  config.model = "small";
  config.plan_file = file.string();
  EXPECT_EQ(settle_plan(config).precision, Precision::bf16);
  config.precision = Precision::fp32;
  EXPECT_THAT([&] { settle_plan(config); },
              ::testing::ThrowsMessage<ConfigError>(HasSubstr("--precision is fp32")));
  std::filesystem::remove(file);
}

TEST(RequirePrecision, IsOfThisCpuUnlessAPlanIsGiven) {
  RunConfig config;
  EXPECT_NO_THROW(require_precision(config));
  config.precision = Precision::bf16;
  if (computes_bf16()) {
    EXPECT_NO_THROW(require_precision(config));
  } else {
    EXPECT_THAT([&] { require_precision(config); },
                ::testing::ThrowsMessage<ConfigError>(HasSubstr("does not multiply bfloat16")));
  }
  config.plan_file = "plan.json";
  EXPECT_NO_THROW(require_precision(config));
}

TEST(RequireAllowed, CostsOfWhatIsLeftOutAreRefused) {
  Profile costs;
  costs.layers.resize(1);
  costs.layers[0].name = "a";
  costs.layers[0].implementation["core"] = "winograd";
  RunConfig config;
  EXPECT_NO_THROW(require_allowed(costs, "costs.json", config));
  config.algorithms = Algorithms::direct;
  EXPECT_THAT([&] { require_allowed(costs, "costs.json", config); },
              ::testing::ThrowsMessage<ConfigError>(HasSubstr("--algorithms is direct")));
}

}  // namespace
}  // namespace millrace::cli
