// Trainings that are stopped, killed and continued.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "tests/cli/training_fixture.hpp"

namespace millrace::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class Interruption : public TrainingTest {
 protected:
  /// Trains once what every test compares with: a run that nothing stops.
  static void SetUpTestSuite() {
    TrainingTest::SetUpTestSuite();
    const ProgramResult result = run(long_training(whole()));
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }

  static std::string whole() { return shared() / "whole"; }

  /// Long enough that a signal after the first checkpoint comes well before the end.
  static std::vector<std::string> long_training(const std::string& out,
                                                std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--steps", "1500", "--set", "checkpoint.every_steps=50", "--json"});
    return training(out, more);
  }

  /// The same training under the same plan, started afresh.
  static std::vector<std::string> again(const std::string& out) {
    return long_training(out,
                         {"--plan", whole() + "/plan.json", "--costs", whole() + "/costs.json"});
  }

  void expect_equal_after_resume(const std::string& out) {
    const ProgramResult result = run({"resume", out, "--json"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(nlohmann::json::parse(result.out).at("steps"), 1500);
    EXPECT_EQ(exported(out), exported(whole()));
  }
};

TEST_F(Interruption, ByCtrlCSavesAndResumeGivesTheSameBits) {
  const std::string out = folder_ / "stopped";
  Program program(again(out), environment());
  ASSERT_TRUE(program.wait_for("checkpoint")) << program.finish().err;
  program.send(SIGINT);
  const ProgramResult result = program.finish();
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json.at("outcome"), "interrupted");
  EXPECT_LT(json.at("steps"), 1500);
  expect_equal_after_resume(out);
}

TEST_F(Interruption, ByStopSavesAndResumeGivesTheSameBits) {
  const std::string out = folder_ / "asked";
  Program program(again(out), environment());
  ASSERT_TRUE(program.wait_for("checkpoint")) << program.finish().err;
  const auto status = nlohmann::json::parse(run({"status", out, "--json"}).out);
  EXPECT_EQ(status.at("state"), "running");
  EXPECT_GT(status.at("step"), 0);
  EXPECT_GT(status.at("images_per_second"), 0);
  EXPECT_GE(status.at("remaining").at("latest_ns"), status.at("remaining").at("expected_ns"));
  EXPECT_GT(status.at("stages").at(0).at("busy_percent"), 0);
  const ProgramResult asked = run({"stop", out, "--json"});
  EXPECT_EQ(asked.exit_code, 0) << asked.err;
  EXPECT_EQ(nlohmann::json::parse(asked.out).at("state"), "terminated");
  EXPECT_EQ(nlohmann::json::parse(program.finish().out).at("outcome"), "terminated");
  EXPECT_THAT(run({"stop", out}).out, HasSubstr("terminated after"));
  expect_equal_after_resume(out);
  EXPECT_THAT(run({"status", out}).out, HasSubstr("finished"));
}

TEST_F(Interruption, ByKillLosesNoCheckpoint) {
  const std::string out = folder_ / "killed";
  Program program(again(out), environment());
  ASSERT_TRUE(program.wait_for("checkpoint")) << program.finish().err;
  program.send(SIGKILL);
  EXPECT_EQ(program.finish().signal, SIGKILL);
  EXPECT_THAT(run({"status", out}).out, AllOf(HasSubstr("killed"), HasSubstr("goes on at step")));
  expect_equal_after_resume(out);
}

TEST_F(Interruption, AResumeMayUseOtherCoresAndReadTheDataElsewhere) {
  const std::string out = folder_ / "moved";
  Program program(long_training(out), environment());
  ASSERT_TRUE(program.wait_for("checkpoint")) << program.finish().err;
  program.send(SIGTERM);
  const ProgramResult stopped = program.finish();
  ASSERT_EQ(stopped.exit_code, 0) << stopped.err;
  const auto machine = nlohmann::json::parse(run({"topology", "--json"}).out);
  const auto cpu = machine.at("kinds").at(0).at("cpus").at(0).dump();
  const ProgramResult result =
      run({"resume", out, "--cores", cpu, "--data", data() + "/.", "--skip-bad-images", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(nlohmann::json::parse(result.out).at("steps"), 1500);
}

TEST_F(Interruption, AResumeTakesThePlansThatTheRunTook) {
  namespace fs = std::filesystem;
  const std::string out = folder_ / "replanned", taken = folder_ / "taken.json";
  const auto with_end = [&](const char* steps) {
    return training(out, {"--steps", steps, "--set", "checkpoint.every_steps=10", "--plan",
                          whole() + "/plan.json", "--costs", whole() + "/costs.json"});
  };
  ASSERT_EQ(run(with_end("10")).exit_code, 0);
  const ProgramResult planned = run({"plan", "--costs", whole() + "/costs.json", "--batch", "20",
                                     "--micro-batch", "4", "-o", taken});
  ASSERT_EQ(planned.exit_code, 0) << planned.err;
  fs::create_directory(fs::path(out) / "plans");
  fs::copy(taken, fs::path(out) / "plans/15.json");
  fs::copy(whole() + "/costs.json", fs::path(out) / "plans/15-costs.json");

  const ProgramResult later = run({"resume", out, "--steps", "20", "--json"});
  EXPECT_EQ(later.exit_code, 0) << later.err;
  EXPECT_THAT(later.err, HasSubstr("step 15: the plan that the run took here"));
  EXPECT_EQ(nlohmann::json::parse(later.out).at("plan_changes"), 1);
  const ProgramResult in_force = run({"resume", out, "--steps", "25", "-v"});
  EXPECT_EQ(in_force.exit_code, 0) << in_force.err;
  EXPECT_THAT(in_force.err, HasSubstr("5 micro-batches of 4"));
  EXPECT_THAT(file_text(fs::path(out) / "metrics.jsonl"), HasSubstr(R"("kind":"plan")"));
}

TEST_F(Interruption, ASecondTrainingIsToldWhoHasTheCores) {
  const std::string out = folder_ / "first";
  Environment one_machine = environment();
  one_machine["MILLRACE_LOCKS"] = folder_.path().string();
  Program first(again(out), one_machine);
  ASSERT_TRUE(first.wait_for("checkpoint")) << first.finish().err;
  const auto second = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--steps", "2", "--force"});
    return run_millrace(training(folder_ / "second", more), one_machine);
  };
  const ProgramResult refused = second({});
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_THAT(refused.err, HasSubstr("by the training in " + out));
  EXPECT_THAT(refused.err, HasSubstr("millrace stop"));
  const auto machine = nlohmann::json::parse(run({"topology", "--json"}).out);
  const auto cpu = machine.at("kinds").at(0).at("cpus").at(0).dump();
  const ProgramResult shared = second({"--cores", cpu});
  EXPECT_EQ(shared.exit_code, 0) << shared.err;
  EXPECT_THAT(shared.err, HasSubstr("shared with another training"));
  first.send(SIGTERM);
  EXPECT_EQ(first.finish().exit_code, 0);
  EXPECT_EQ(second({}).exit_code, 0);
}

TEST_F(Interruption, TenKillsAtRandomMomentsLoseNothing) {
  const ProgramResult result = run({"bench", "lenet5", "--kills", "10", "--steps", "100", "--data",
                                    data(), "--batch", "20", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto report = nlohmann::json::parse(result.out);
  EXPECT_EQ(report.at("tried"), 10);
  EXPECT_EQ(report.at("identical"), 10);
}

TEST_F(Interruption, AResumeKeepsModelBatchAndSeed) {
  const ProgramResult result = run({"resume", whole(), "--batch", "10"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("batch 20"));
}

}  // namespace
}  // namespace millrace::cli
