// estimate where it compares plans, and trainings with a deadline.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/cli/training_fixture.hpp"

namespace millrace::cli {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using nlohmann::json;

/// Costs of a slow machine of four cores: 0.3 s for a sample and layer.
std::string slow_costs(const std::string& model) {
  const std::string rest = R"(, "type": "linear", "forward_ns": {"core": [1e8]},
      "backward_ns": {"core": [2e8]}, "update_ns": {"core": 1000}, "weights_bytes": 1000,
      "saved_bytes": 100, "splits": ["samples"], "spread_percent": 1})";
  return R"({"format": "millrace-costs", "version": 1, "model": ")" + model +
         R"(", "training": true, "samples": [1], "kinds": [{"name": "core", "count": 4,
    "memory_bytes": null, "link_ns_per_byte": 0, "link_latency_ns": 0}],
    "shared_memory_bytes": null, "bytes_per_weight_byte": 3, "transfers": "serial",
    "loader_ns_per_sample": 1000, "layers": [{"name": "a")" +
         rest + R"(, {"name": "b")" + rest +
         R"(], "tensors": [{"from": "a", "to": ["b"], "bytes": 4}]})";
}

class WhatIf : public TrainingTest {
 protected:
  /// 15 steps an epoch of 20 samples, by the costs file.
  ProgramResult estimate(const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {
        "estimate", "lenet5",  "--data",
        data(),     "--costs", folder_.write("costs.json", slow_costs("lenet5"))};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(arguments);
  }
  json rows_of(const std::vector<std::string>& more) {
    const ProgramResult result = estimate(more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_THAT(result.err, Not(HasSubstr("[profile]"))) << "nothing is measured";
    return json::parse(result.out).at("rows");
  }
  void expect_refused(const std::vector<std::string>& more, int code,
                      const std::vector<std::string>& message) {
    const ProgramResult result = estimate(more);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_THAT(result.out, IsEmpty());
    for (const std::string& text : message) EXPECT_THAT(result.err, HasSubstr(text));
  }
};

TEST_F(WhatIf, ComparesNumbersOfCores) {
  const json rows =
      rows_of({"--batch", "20", "--epochs", "2", "--core-counts", "1..3,4", "--json"});
  ASSERT_EQ(rows.size(), 4u);
  for (int cores = 1; cores <= 4; ++cores) {
    const json& row = rows[cores - 1];
    EXPECT_EQ(row.at("cores"), cores);
    EXPECT_EQ(row.at("batch"), 20);
    EXPECT_GT(row.at("run").at("latest_ns"), row.at("run").at("expected_ns"));
    EXPECT_GT(row.at("memory_bytes"), 0);
  }
  // 20 samples of two layers; three cores share them 7, 7, 6.
  EXPECT_NEAR(rows[0].at("step").at("expected_ns").get<double>(), 12e9, 1e6);
  EXPECT_NEAR(rows[1].at("step").at("expected_ns").get<double>(), 6e9, 1e6);
  EXPECT_NEAR(rows[2].at("step").at("expected_ns").get<double>(), 4.2e9, 1e6);
  EXPECT_NEAR(rows[3].at("step").at("expected_ns").get<double>(), 3e9, 1e6);
  EXPECT_NEAR(rows[2].at("efficiency_percent").get<double>(), 100 * 12 / (3 * 4.2), 0.1);
  EXPECT_NEAR(rows[3].at("images_per_second").get<double>(), 20 / 3.0, 0.01);
  EXPECT_GT(rows[0].at("run").at("expected_ns"), 30 * 12e9);
}

TEST_F(WhatIf, TheFastestKindsComeFirst) {
  json costs = json::parse(slow_costs("lenet5"));
  costs["kinds"][0]["name"] = "big";
  costs["kinds"][0]["count"] = 1;
  costs["kinds"].push_back(costs["kinds"][0]);
  costs["kinds"][1]["name"] = "little";
  for (json& layer : costs["layers"]) {
    layer["forward_ns"] = {{"big", {1e8}}, {"little", {3e8}}};
    layer["backward_ns"] = {{"big", {2e8}}, {"little", {6e8}}};
    layer["update_ns"] = {{"big", 1000}, {"little", 3000}};
  }
  const std::string file = folder_.write("kinds.json", costs.dump());
  const ProgramResult result =
      run({"estimate", "lenet5", "--data", data(), "--costs", file, "--batch", "20", "--steps", "5",
           "--core-counts", "1..2", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json rows = json::parse(result.out).at("rows");
  EXPECT_NEAR(rows[0].at("step").at("expected_ns").get<double>(), 12e9, 1e6);
  EXPECT_NEAR(rows[1].at("step").at("expected_ns").get<double>(), 9e9, 1e6) << "15 and 5 samples";
  EXPECT_NEAR(rows[1].at("efficiency_percent").get<double>(), 100 * 12 / (2 * 9.0), 0.1);
  EXPECT_THAT(run({"estimate", "lenet5", "--data", data(), "--costs", file, "--steps", "5",
                   "--cores", "little", "--core-counts", "2"})
                  .err,
              HasSubstr("has 1 with --cores little"));
}

TEST_F(WhatIf, ComparesBatchesAndBothAtOnce) {
  const json batches = rows_of({"--batch", "40,20,40", "--epochs", "1", "--json"});
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[0].at("batch"), 20);
  EXPECT_EQ(batches[1].at("batch"), 40);
  EXPECT_EQ(batches[0].at("cores"), 4) << "all there are";
  EXPECT_NEAR(batches[1].at("step").at("expected_ns").get<double>(), 6e9, 1e6);
  std::vector<std::pair<int, int>> places;
  const json both =
      rows_of({"--batch", "20,40", "--core-counts", "1,2", "--epochs", "1", "--json"});
  for (const json& row : both) places.emplace_back(row.at("batch"), row.at("cores"));
  EXPECT_THAT(places,
              ElementsAre(std::pair(20, 1), std::pair(20, 2), std::pair(40, 1), std::pair(40, 2)));
}

TEST_F(WhatIf, ABatchThatDoesNotFitTheMemoryLeavesTheOthers) {
  const ProgramResult result = run({"estimate", "lenet5", "--data", data(), "--batch", "20,4096",
                                    "--epochs", "1", "--memory", "20M", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json rows = json::parse(result.out).at("rows");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_GT(rows[0].at("step").at("expected_ns"), 0);
  EXPECT_EQ(rows[1].at("batch"), 4096);
  EXPECT_THAT(rows[1].at("why_not"), HasSubstr("decoded ahead"));
}

TEST_F(WhatIf, ACostFileAnswersForOneRun) {
  const ProgramResult result = estimate({"--batch", "20", "--steps", "10", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NEAR(json::parse(result.out).at("step").at("expected_ns").get<double>(), 3e9, 1e6);
  EXPECT_EQ(json::parse(result.out).at("tried"), false);
}

TEST_F(WhatIf, AGivenPlanIsEstimatedByItsCosts) {
  const std::string costs = folder_.write("costs.json", slow_costs("lenet5"));
  const std::string plan = folder_ / "plan.json";
  const ProgramResult made = run({"plan", "--costs", costs, "--batch", "20", "--max-stages", "1",
                                  "--max-replicas", "1", "-o", plan});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const ProgramResult result = estimate({"--plan", plan, "--steps", "10", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NEAR(json::parse(result.out).at("step").at("expected_ns").get<double>(), 12e9, 1e6);
  expect_refused({"--plan", plan, "--steps", "10", "--deadline", "1h"}, 2, {"--deadline", plan});
}

TEST_F(WhatIf, PrintsATable) {
  const ProgramResult result =
      estimate({"--batch", "20", "--epochs", "100", "--core-counts", "1,4", "--deadline", "10d"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("cores"), HasSubstr("efficiency"), HasSubstr("12.0 s"),
                                HasSubstr("*     1     20"), HasSubstr("before the deadline")));
}

TEST_F(WhatIf, ADeadlineTakesTheFewestCoresThatAreEnough) {
  const ProgramResult result =
      estimate({"--batch", "20", "--epochs", "100", "--deadline", "3h", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json table = json::parse(result.out);
  EXPECT_GT(table.at("deadline").at("left_ns"), 2.9 * 3600e9);
  std::vector<bool> in_time, chosen;
  for (const json& row : table.at("rows")) {
    in_time.push_back(row.at("in_time"));
    chosen.push_back(row.at("chosen"));
  }
  EXPECT_THAT(in_time, ElementsAre(false, true, true, true)) << "5.3, 2.7, 1.9 and 1.4 hours";
  EXPECT_THAT(chosen, ElementsAre(false, true, false, false));
}

TEST_F(WhatIf, ADeadlineThatNobodyMeetsIsNoPlan) {
  expect_refused({"--batch", "20", "--epochs", "100", "--deadline", "1h"}, 3,
                 {"4 cores", "latest", "later --deadline"});
}

TEST_F(WhatIf, WrongFlagsAreRefused) {
  const auto with = [](std::vector<std::string> more) {
    more.insert(more.end(), {"--epochs", "2"});
    return more;
  };
  for (const char* counts : {"0..3", "4..2", "abc"})
    expect_refused(with({"--core-counts", counts}), 2,
                   {std::string("--core-counts ") + counts, "1..8"});
  expect_refused(with({"--core-counts", "1..5"}), 2, {"asks for 5 cores", "costs.json has 4"});
  expect_refused(with({"--batch", "20,many"}), 2, {"plan.batch = 'many'"});
  expect_refused(with({"--batch", ""}), 2, {"plan.batch = ''"});
  expect_refused(with({"--deadline", "2020-01-01T00:00"}), 2, {"2020-01-01 00:00:00, has passed"});
  expect_refused(with({"--deadline", "soon"}), 2, {"\"soon\" is no deadline"});
  expect_refused(with({"--board", "rk3588"}), 2, {"--board", "--costs"});
  expect_refused(with({"--core-counts", "1,2", "--refine", "2"}), 2,
                 {"--core-counts", "--refine 2"});
  expect_refused({"--core-counts", "1,2"}, 2, {"--epochs N or --steps N"});
}

TEST_F(WhatIf, MoreCoresThanThereAreAreRefusedBeforeAnythingIsMeasured) {
  const auto refused = [&](const std::vector<std::string>& more, const std::string& message) {
    std::vector<std::string> arguments = {"estimate", "lenet5", "--data", data(), "--epochs", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const ProgramResult result = TrainingTest::run(arguments);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_THAT(result.err, AllOf(HasSubstr(message), Not(HasSubstr("[profile]"))));
  };
  refused({"--board", "rk3588", "--core-counts", "9"}, "asks for 9 cores, rk3588 has 8");
  refused({"--board", "rk3588", "--cores", "big", "--core-counts", "1..5"},
          "rk3588 has 4 with --cores big");
  refused({"--board", "no-such-board", "--core-counts", "1"}, "no-such-board");
  refused({"--core-counts", "4096"}, "asks for 4096 cores, this machine has");
  refused({"--costs", folder_.write("mlp.json", slow_costs("mlp"))},
          "the costs of mlp, this is lenet5");
}

TEST_F(WhatIf, HelpNamesTheFlags) {
  EXPECT_THAT(run({"estimate", "--help"}).out,
              AllOf(HasSubstr("--core-counts LIST"), HasSubstr("--batch N|auto|LIST"),
                    HasSubstr("--costs FILE"), HasSubstr("--board NAME"),
                    HasSubstr("--deadline TIME|none")));
  EXPECT_THAT(run({"train", "--help"}).out, HasSubstr("--deadline TIME|none"));
  EXPECT_THAT(run({"plan", "--help"}).out, Not(HasSubstr("--deadline")));
}

/// CPUs of the plan that the run in `folder` has.
std::vector<int> cpus_of(const std::string& folder) {
  std::vector<int> cpus;
  const json plan = json::parse(file_text(folder + "/plan.json"));
  for (const json& stage : plan.at("stages"))
    for (const json& device : stage.at("devices")) cpus.push_back(device.at("cpu"));
  return cpus;
}

TEST_F(WhatIf, ATrainingTakesOneCoreWhereThatIsEnoughAndGoesOnAlike) {
  const std::string out = folder_ / "run";
  const auto first = run(training(out, {"--steps", "10", "--deadline", "10d", "--json"}));
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(cpus_of(out).size(), 1u);
  EXPECT_EQ(json::parse(first.out).at("reached_deadline"), false);
  EXPECT_THAT(file_text(out + "/config.toml"), HasSubstr("deadline = '20"));
  const json status = json::parse(run({"status", out, "--json"}).out);
  EXPECT_EQ(status.at("deadline_outlook"), "met");
  EXPECT_GT(status.at("deadline_ns"), 9 * 86400e9);
  const auto more = run({"resume", out, "--steps", "20", "--json"});
  ASSERT_EQ(more.exit_code, 0) << more.err;
  EXPECT_EQ(json::parse(more.out).at("steps"), 20);
  const auto past = run({"resume", out, "--steps", "30", "--deadline", "2020-01-01"});
  EXPECT_EQ(past.exit_code, 2);
  EXPECT_THAT(past.err, HasSubstr("has passed"));
  const auto none = run({"resume", out, "--steps", "30", "--deadline", "none", "--json"});
  EXPECT_EQ(none.exit_code, 0) << none.err;
  EXPECT_TRUE(json::parse(run({"status", out, "--json"}).out).at("deadline_ns").is_null());
}

TEST_F(WhatIf, ATrainingEndsForItsDeadlineWithACheckpoint) {
  const std::string out = folder_ / "run";
  ASSERT_EQ(run(training(folder_ / "first", {"--steps", "2"})).exit_code, 0) << "measures";
  const auto ended = run(training(out, {"--epochs", "1000000", "--deadline", "15s", "--json"}));
  ASSERT_EQ(ended.exit_code, 0) << ended.err;
  const json result = json::parse(ended.out);
  EXPECT_EQ(result.at("outcome"), "finished");
  EXPECT_EQ(result.at("reached_deadline"), true);
  EXPECT_THAT(ended.err, AllOf(HasSubstr("no plan is sure to be done"),
                               HasSubstr("the deadline will be missed")));
  EXPECT_TRUE(json::parse(run({"status", out, "--json"}).out).at("step") == result.at("steps"));
  EXPECT_FALSE(std::filesystem::is_empty(out + "/checkpoints"));
}

}  // namespace
}  // namespace millrace::cli
