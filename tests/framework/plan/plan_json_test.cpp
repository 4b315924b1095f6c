#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "millrace/errors.hpp"
#include "millrace/plan.hpp"

namespace millrace {
namespace {

using nlohmann::json;
using testing::HasSubstr;

Plan a_plan() {
  Plan plan;
  plan.model = "net";
  plan.objective = Objective::period;
  plan.batch = 64;
  plan.micro_batch = 8;
  plan.micro_batches = 8;
  plan.schedule = "fill-drain";
  plan.value_ns = 512345678.25;
  plan.bound_ns = 0.1 + 0.2;  // not a short decimal
  plan.optimal = true;
  plan.memory_bytes = 640000000;
  plan.search = {18344, 23, 975, 0.012, 9000000};
  PlanStage stage;
  stage.layers = {"fc1", "relu1", "fc2"};
  stage.devices = {{"big", 0}, {"big", 2}};
  stage.shares = {4, 4};
  stage.split = Split::features;
  stage.feature_layers = {"fc1", "relu1"};
  stage.forward_ns = 1.5e6;
  stage.backward_ns = 3e6;
  stage.weight_gradient_ns = 2.5e6;
  stage.update_ns = 12;
  stage.feature_shares = {0.7, 0.3};
  stage.update_shares = {0.75, 0.25};
  stage.memory_bytes = 77;
  stage.recompute = stage.layers;
  stage.implementations["fc1"] = {"torch", "torch", "blocked"};
  plan.stages = {stage};
  plan.alternatives = {{"one core", 2e9, "slower"}, {"threads", std::nullopt, "not measured"}};
  return plan;
}

std::string error_of(const json& document) {
  try {
    plan_from_json(document.dump(), "p.json");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(PlanJson, RoundTripsToTheSameValueAndBytes) {
  const std::string text = to_json(a_plan());
  const Plan read = plan_from_json(text, "p.json");
  EXPECT_EQ(read, a_plan());
  EXPECT_EQ(to_json(read), text);
}

TEST(PlanJson, HasTheFieldsThatScriptsUse) {
  const json document = json::parse(to_json(a_plan()));
  EXPECT_EQ(document["format"], "millrace-plan");
  EXPECT_EQ(document["version"], 1);
  EXPECT_EQ(document["objective"], "period");
  EXPECT_EQ(document["search"]["candidates"], 18344);
  EXPECT_EQ(document["stages"][0]["devices"][1]["cpu"], 2);
  EXPECT_EQ(document["stages"][0]["split"], "features");
  EXPECT_EQ(document["stages"][0]["implementations"]["fc1"]["weight_gradient"], "blocked");
  EXPECT_EQ(document["alternatives"][0]["value_ns"], 2e9);
  EXPECT_TRUE(document["alternatives"][1]["value_ns"].is_null());
}

TEST(PlanJson, WhatTheCostsSayMayBeLeftOut) {
  const json stage = {{"layers", {"a"}},
                      {"devices", {{{"kind", "core"}, {"cpu", 3}}}},
                      {"shares", {4}},
                      {"split", "samples"}};
  const json document = {{"format", "millrace-plan"}, {"version", 1},       {"model", "net"},
                         {"objective", "makespan"},   {"batch", 4},         {"micro_batch", 4},
                         {"micro_batches", 1},        {"schedule", "1f1b"}, {"stages", {stage}}};
  const Plan plan = plan_from_json(document.dump(), "p.json");
  EXPECT_EQ(plan.stages.at(0).devices.at(0).cpu, 3);
  EXPECT_EQ(plan.value_ns, 0);
  EXPECT_TRUE(plan.alternatives.empty());
}

TEST(PlanJson, RefusesWhatIsNoPlan) {
  json document = json::parse(to_json(a_plan()));
  const auto with = [&](const char* pointer, const json& value) {
    json changed = document;
    changed[json::json_pointer(pointer)] = value;
    return error_of(changed);
  };
  EXPECT_THAT(with("/format", "millrace-costs"), HasSubstr("[plan] p.json: format is"));
  EXPECT_THAT(with("/version", 2), HasSubstr("version is 2, this program reads 1"));
  EXPECT_THAT(with("/micro_bach", 2), HasSubstr("micro_bach is not a field"));
  EXPECT_THAT(with("/stages/0/devises", 2), HasSubstr("stages[0].devises is not a field"));
  EXPECT_THAT(with("/stages/0/devices/0/core", 2), HasSubstr("stages[0].devices[0].core"));
  EXPECT_THAT(with("/stages/0/devices/0/cpu", -1), HasSubstr("cpu is -1, a CPU number"));
  EXPECT_THAT(with("/stages/0/split", "rows"), HasSubstr("\"samples\", \"threads\" or"));
  EXPECT_THAT(with("/stages/0/shares", {1.5}), HasSubstr("whole numbers"));
  EXPECT_THAT(with("/stages/0/layers", {7}), HasSubstr("a list of text"));
  EXPECT_THAT(with("/objective", "speed"), HasSubstr("\"makespan\" or \"period\""));
  EXPECT_THAT(with("/alternatives/0/reason", ""), HasSubstr("alternatives[0].reason"));
  EXPECT_THAT(with("/search/nodes", 1), HasSubstr("search.nodes"));
  EXPECT_THAT(with("/value_ns", -1), HasSubstr("at least 0"));
  document.erase("batch");
  EXPECT_THAT(error_of(document), HasSubstr("batch is missing"));
  EXPECT_THROW(plan_from_json("{\"format\"", "p.json"), ConfigError);
}

}  // namespace
}  // namespace millrace
