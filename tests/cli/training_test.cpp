// The verbs that plan and train, end to end.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>

#include "tests/cli/training_fixture.hpp"

namespace millrace::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Training : public TrainingTest {};

TEST_F(Training, LeavesEverythingInOneFolder) {
  const std::string out = folder_ / "run";
  const auto json = parsed(run(training(out, {"--steps", "30", "--json"})));
  EXPECT_EQ(json.at("steps"), 30);
  EXPECT_GT(json.at("images_per_second").get<double>(), 0);
  EXPECT_GT(json.at("loss").get<double>(), 0);
  EXPECT_GE(json.at("accuracy").get<double>(), 0);
  for (const char* field :
       {"first_expected_ns", "first_latest_ns", "measured_ns", "error_percent"}) {
    EXPECT_TRUE(json.at("estimate").at(field).is_number()) << field;
  }
  EXPECT_EQ(nlohmann::json::parse(file_text(out + "/plan.json")).at("model"), "lenet5");
  EXPECT_THAT(file_text(out + "/config.toml"), HasSubstr("steps = 30"));
  EXPECT_TRUE(nlohmann::json::accept(file_text(out + "/trace.json")));
  EXPECT_THAT(file_text(out + "/metrics.jsonl"), Not(IsEmpty()));
  EXPECT_FALSE(std::filesystem::is_empty(out + "/checkpoints"));
}

TEST_F(Training, LearnsWhatIsEasy) {
  const auto json = parsed(run(training(folder_ / "run", {"--epochs", "10", "--json"})));
  EXPECT_EQ(json.at("steps"), 150);
  EXPECT_GT(json.at("accuracy").get<double>(), 0.9);
}

TEST_F(Training, RepeatsBitByBitUnderTheSamePlan) {
  const std::string first = folder_ / "first", second = folder_ / "second";
  ASSERT_EQ(run(training(first, {"--steps", "20"})).exit_code, 0);
  const ProgramResult again = run(training(
      second, {"--steps", "20", "--plan", first + "/plan.json", "--costs", first + "/costs.json"}));
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(exported(first), exported(second));
  const std::string third = folder_ / "third";
  ASSERT_EQ(run(training(third, {"--steps", "20", "--seed", "2"})).exit_code, 0);
  EXPECT_NE(exported(first), exported(third));
}

TEST_F(Training, AFolderThatIsTakenNeedsForce) {
  const std::string out = folder_ / "run";
  ASSERT_EQ(run(training(out, {"--steps", "2"})).exit_code, 0);
  const std::string before = exported(out);
  const ProgramResult refused = run(training(out, {"--steps", "3"}));
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--force"));
  EXPECT_EQ(exported(out), before);
  EXPECT_EQ(run(training(out, {"--steps", "3", "--force"})).exit_code, 0);
  EXPECT_NE(exported(out), before);
}

TEST_F(Training, TheConfigurationIsShownAndQuietIsQuiet) {
  const ProgramResult verbose = run(training(folder_ / "a", {"--steps", "2", "-v"}));
  EXPECT_THAT(verbose.err, HasSubstr("learning_rate = 0.01"));
  const ProgramResult quiet = run(training(folder_ / "b", {"--steps", "2", "-q", "--json"}));
  EXPECT_EQ(quiet.exit_code, 0);
  EXPECT_THAT(quiet.err, Not(HasSubstr("[train]")));
  EXPECT_THAT(quiet.err, Not(HasSubstr("\x1b")));
}

TEST_F(Training, ABenchmarkThatIsQuietIsSoWhereItMeasures) {
  const ProgramResult result =
      run({"bench", "lenet5", "-q", "--only", "plan", "--rounds", "1", "--steps", "2"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.out, HasSubstr("img/s"));
  EXPECT_THAT(result.err, Not(HasSubstr("measuring")));
}

TEST_F(Training, UsesOnlyTheCoresThatAreAsked) {
  const std::string out = folder_ / "run";
  const auto machine = parsed(run({"topology", "--json"}));
  const int cpu = machine.at("kinds").at(0).at("cpus").at(0).get<int>();
  ASSERT_EQ(run(training(out, {"--steps", "2", "--cores", std::to_string(cpu)})).exit_code, 0);
  const auto plan = nlohmann::json::parse(file_text(out + "/plan.json"));
  for (const auto& stage : plan.at("stages")) {
    for (const auto& device : stage.at("devices")) EXPECT_EQ(device.at("cpu"), cpu);
  }
}

TEST_F(Training, ACosineScheduleIsOverWhereEvaluationBegins) {
  const std::string out = folder_ / "cosine";
  ASSERT_EQ(run(training(out, {"--steps", "9", "--schedule-lr", "cosine", "--set",
                               "learning_rate.warmup_steps=3"}))
                .exit_code,
            0);
  EXPECT_EQ(parsed(run({"eval", out, "--data", data(), "--json"})).at("samples"), 50);
}

TEST_F(Training, AResumeRefusesThePlanOfAnotherBatch) {
  const std::string out = folder_ / "run", plan = folder_ / "plan.json";
  ASSERT_EQ(run(training(out, {"--steps", "2"})).exit_code, 0);
  ASSERT_EQ(run({"plan", "lenet5", "--batch", "10", "-o", plan, "-q"}).exit_code, 0);
  const ProgramResult result = run({"resume", out, "--plan", plan});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("for a batch of 10"));
}

class Planning : public TrainingTest {};

std::vector<std::string> layers_of(const nlohmann::json& plan) {
  std::vector<std::string> layers;
  for (const auto& stage : plan.at("stages")) {
    for (const auto& layer : stage.at("layers")) layers.push_back(layer);
  }
  return layers;
}

TEST_F(Planning, AProfileIsACostGraphThatPlanReads) {
  const std::string costs = folder_ / "costs.json";
  const auto json = parsed(run({"profile", "lenet5", "--batch", "20", "-o", costs, "--json"}));
  EXPECT_EQ(json.at("format"), "millrace-costs");
  EXPECT_EQ(json, nlohmann::json::parse(file_text(costs)));
  const auto with_data =
      parsed(run({"profile", "lenet5", "--batch", "20", "--data", data(), "--json"}));
  EXPECT_GT(with_data.at("loader_ns_per_sample").get<double>(), 0);
  const auto of_costs = parsed(run({"plan", "--costs", costs, "--batch", "20", "--json"}));
  const auto of_model = parsed(run({"plan", "lenet5", "--batch", "20", "--json"}));
  EXPECT_EQ(of_costs.at("model"), "lenet5");
  // Cut elsewhere where the cores were found at another speed, and measured anew.
  EXPECT_EQ(layers_of(of_model), layers_of(of_costs));
  EXPECT_THAT(run({"profile", "lenet5", "--batch", "20"}).out, HasSubstr("conv1"));
}

TEST_F(Planning, TheEstimateHasAStepAndARun) {
  const auto json = parsed(
      run({"estimate", "lenet5", "--data", data(), "--batch", "20", "--epochs", "3", "--json"}));
  EXPECT_GT(json.at("step").at("expected_ns").get<double>(), 0);
  EXPECT_GE(json.at("step").at("latest_ns"), json.at("step").at("expected_ns"));
  EXPECT_GT(json.at("run").at("expected_ns").get<double>(),
            44 * json.at("step").at("expected_ns").get<double>());
  EXPECT_GE(json.at("run").at("latest_ns"), json.at("run").at("expected_ns"));
  EXPECT_GT(json.at("images_per_second").get<double>(), 0);
  EXPECT_EQ(json.at("confidence"), 0.99);
  EXPECT_EQ(json.at("tried"), true);
}

/// On one core: what others do on the machine meanwhile may lead to another plan for several.
TEST_F(Planning, TheTrainingPromisesWhatTheEstimateDid) {
  const auto cpu = parsed(run({"topology", "--json"})).at("kinds").at(0).at("cpus").at(0).dump();
  std::vector<std::string> what = {
      "--data", data(),    "--batch", "20",    "--cores",
      cpu,      "--steps", "400",     "--set", "checkpoint.every_steps=0"};
  const auto with = [&](std::vector<std::string> verb) {
    verb.insert(verb.end(), what.begin(), what.end());
    return run(verb);
  };
  const auto estimate = parsed(with({"estimate", "lenet5", "--json"}));
  EXPECT_EQ(estimate.at("tried"), true);
  const ProgramResult trained = with({"train", "lenet5", "--out", folder_ / "run", "--json"});
  for (const char* changed : {"measuring anew", "costs are scaled"})
    if (trained.err.find(changed) != std::string::npos)
      GTEST_SKIP() << "the machine changed its speed between the two";
  const double promised = parsed(trained).at("estimate").at("first_expected_ns");
  EXPECT_NEAR(promised / estimate.at("run").at("expected_ns").get<double>(), 1, 0.1);
}

/// What is tried is kept by plan and data: here data of its own.
TEST_F(Planning, WhatARunShowedIsKeptForTheNextEstimate) {
  namespace fs = std::filesystem;
  const fs::path kept = fs::path(shared() / "cache") / "rehearsals";
  const auto files = [&] {
    std::error_code none;
    return std::distance(fs::directory_iterator(kept, none), {});
  };
  const std::string digits = folder_ / "digits";
  fs::copy(data(), digits);
  const auto before = files();
  parsed(run({"train", "lenet5", "--data", digits, "--batch", "20", "--steps", "200", "--out",
              folder_ / "run", "--replan", "never", "--json"}));
  EXPECT_EQ(files(), before + 1);
  EXPECT_EQ(parsed(run({"resume", folder_ / "run", "--steps", "300", "--json"})).at("steps"), 300);
  EXPECT_EQ(files(), before + 1) << "by the same plan";
}

}  // namespace
}  // namespace millrace::cli
