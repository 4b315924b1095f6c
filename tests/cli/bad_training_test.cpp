// What a training refuses, before anything is measured: exit code, both values, remedy.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>

#include "tests/cli/training_fixture.hpp"

namespace millrace::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

namespace fs = std::filesystem;

class BadTraining : public TrainingTest {
 protected:
  void expect_refused(const std::vector<std::string>& arguments, int code,
                      const std::string& message) {
    const ProgramResult result = run(arguments);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(message));
    EXPECT_THAT(result.err, Not(HasSubstr("[profile]")));
    EXPECT_TRUE(result.out.empty()) << result.out;
  }

  std::vector<std::string> on(const std::string& data) const {
    return {"train", "lenet5", "--steps", "2", "--data", data, "--out", folder_ / "out"};
  }
};

TEST_F(BadTraining, Data) {
  expect_refused(on("/nowhere/photos"), 2, "/nowhere/photos");
  const std::string empty = folder_ / "empty";
  fs::create_directories(empty);
  expect_refused(on(empty), 2, "empty");
  const std::string one = folder_ / "one";
  fs::create_directories(one + "/cats");
  folder_.write("one/cats/a.jpg", "");
  expect_refused(on(one), 2, "class");
  const std::string broken = folder_ / "broken";
  for (const char* name : {"cats", "dogs"}) {
    fs::create_directories(broken + "/" + name);
    folder_.write(std::string("broken/") + name + "/a.jpg", "no image");
  }
  expect_refused(on(broken), 2, "a.jpg");
}

TEST_F(BadTraining, OutputFolder) {
  folder_.write("file", "mine");
  expect_refused(training(folder_ / "file", {"--steps", "2"}), 2, "file");
  EXPECT_EQ(file_text(folder_ / "file"), "mine");
  fs::create_directories(folder_ / "taken");
  folder_.write("taken/thesis.txt", "mine");
  const ProgramResult forced = run(training(folder_ / "taken", {"--steps", "2", "--force"}));
  EXPECT_EQ(forced.exit_code, 0) << forced.err;
  EXPECT_EQ(file_text(folder_ / "taken/thesis.txt"), "mine");
  expect_refused(training("/proc/run", {"--steps", "2"}), 4, "/proc/run");
}

TEST_F(BadTraining, CoresThatAreNotThere) {
  expect_refused(training(folder_ / "out", {"--steps", "2", "--cores", "4095"}), 2, "4095");
  expect_refused(training(folder_ / "out", {"--steps", "2", "--cores", "none"}), 2, "none");
}

TEST_F(BadTraining, MemoryBelowTheWeights) {
  expect_refused(training(folder_ / "out", {"--steps", "2", "--memory", "100K"}), 3, "100 KiB");
}

TEST_F(BadTraining, MoreMemoryThanThereIs) {
  auto arguments = on(data());
  arguments.insert(arguments.end(), {"--batch", "5000", "--memory", "2M"});
  expect_refused(arguments, 3, "lower --batch");
}

TEST_F(BadTraining, NumbersThatOnlyTheRunWouldNotice) {
  const auto refused = [&](const std::vector<std::string>& flags, const std::string& text) {
    auto arguments = on(data());
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    expect_refused(arguments, 2, text);
  };
  refused({"--batch", "20", "--micro-batch", "21"},
          "--micro-batch 21 is more than the batch of 20");
  refused({"--batch", "65537"}, "65537");
  refused({"--set", "optimizer.nesterov=true", "--set", "optimizer.momentum=0"}, "nesterov");
  refused({"--schedule-lr", "cosine", "--set", "learning_rate.warmup_steps=9"}, "cosine");
}

TEST_F(BadTraining, PlanOfAnotherModelOrNone) {
  const std::string mlp = folder_ / "mlp.json";
  ASSERT_EQ(run({"plan", "mlp", "--batch", "20", "-o", mlp, "-q"}).exit_code, 0);
  expect_refused(training(folder_ / "out", {"--steps", "2", "--plan", mlp}), 2,
                 "is a plan for mlp, this is lenet5");
  expect_refused(training(folder_ / "out", {"--steps", "2", "--plan", "/nowhere/plan.json"}), 2,
                 "/nowhere/plan.json");
  const std::string plan = folder_.write("plan.json", "{}");
  expect_refused(training(folder_ / "out", {"--steps", "2", "--plan", plan}), 2, "plan.json");
  expect_refused(training(folder_ / "out", {"--steps", "2", "--costs", "costs.json"}), 2,
                 "costs.json without --plan");
}

TEST_F(BadTraining, Weights) {
  expect_refused(training(folder_ / "out", {"--steps", "2", "--weights", "/nowhere/w"}), 2,
                 "/nowhere/w");
  const std::string file = folder_.write("w.safetensors", "short");
  expect_refused(training(folder_ / "out", {"--steps", "2", "--weights", file}), 2,
                 "w.safetensors");
}

TEST_F(BadTraining, MicroBatchesOfBatchNormalisation) {
  const std::vector<std::string> divided = {"--batch", "16", "--micro-batch", "8"};
  for (std::vector<std::string> verb :
       {std::vector<std::string>{"plan", "resnet20"},
        {"train", "resnet20", "--steps", "2", "--out", folder_ / "out"}}) {
    verb.insert(verb.end(), divided.begin(), divided.end());
    expect_refused(verb, 2, "micro-batch is 8, layer \"bn1\" takes statistics of the whole batch");
  }
}

TEST_F(BadTraining, FlagsWithoutAValue) {
  for (const char* flag : {"--weights", "--plan", "--cores"})
    expect_refused(training(folder_ / "out", {"--steps", "2", flag, ""}), 2,
                   std::string(flag) + " is empty");
}

TEST_F(BadTraining, Boards) {
  expect_refused({"plan", "lenet5", "--board", "nope"}, 2, "\"nope\" is no board");
  expect_refused({"profile", "lenet5", "--board", "nope"}, 2, "rk3588");
  expect_refused({"plan", "--costs", "costs.json", "--board", "rk3588"}, 2, "--board");
}

TEST_F(BadTraining, CosineWithoutAKnownLength) {
  expect_refused(training(folder_ / "out", {"--time", "1m", "--schedule-lr", "cosine"}), 2,
                 "cosine");
}

TEST_F(BadTraining, RunsThatAreNone) {
  expect_refused({"resume", "/nowhere/run"}, 2, "/nowhere/run");
  expect_refused({"eval", "/nowhere/run"}, 2, "/nowhere/run");
  expect_refused({"predict", folder_.path().string(), "a.jpg"}, 2, "not the folder of a training");
  expect_refused({"export", folder_.path().string(), "-o", "x.safetensors"}, 2,
                 "not the folder of a training");
  expect_refused({"export", folder_.path().string(), "-o", "x.gguf"}, 2, ".safetensors");
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // take all addresses there are
TEST(TooFewAddresses, AreRefusedBeforeLibrariesCrash) {
  const std::string command =
      "ulimit -v 1500000 && " MILLRACE_PROGRAM " plan lenet5 --json 2>&1; echo \"code $?\"";
  FILE* const shell = popen(command.c_str(), "r");
  ASSERT_NE(shell, nullptr);
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), shell));
  pclose(shell);
  EXPECT_THAT(text, ::testing::AllOf(::testing::HasSubstr("1.43 GiB"),
                                     ::testing::HasSubstr("raise the limit"),
                                     ::testing::HasSubstr("code 4")));
}
#endif

}  // namespace
}  // namespace millrace::cli
