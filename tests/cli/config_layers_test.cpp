#include "controller/cli/config_layers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "controller/cli/settings.hpp"
#include "millrace/errors.hpp"

namespace millrace::cli {
namespace {

using ::testing::HasSubstr;

template <typename Function>
std::string error_of(Function function) {
  try {
    function();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text)
      : path_(std::filesystem::path(::testing::TempDir()) /
              (std::string("millrace_") +
               ::testing::UnitTest::GetInstance()->current_test_info()->name() + ".toml")) {
    std::ofstream(path_) << text;
  }
  ~ConfigFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

TEST(Layers, FlagsBeatAssignmentsBeatTheFileBeatsDefaults) {
  const ConfigFile file("[plan]\nbatch = 8\nmicro_batch = 2\nmax_stages = 3\n");
  const RunConfig config = resolve({.file = file.path(),
                                    .assignments = {"plan.batch=16", "plan.micro_batch=4"},
                                    .flags = {{"plan.batch", "32"}}});
  EXPECT_EQ(config.batch, 32);
  EXPECT_EQ(config.micro_batch, 4);
  EXPECT_EQ(config.max_stages, 3);
  EXPECT_EQ(config.schedule, "auto");
}

TEST(Layers, StandOverTheGivenBase) {
  RunConfig base;
  base.cores = "big";
  base.batch = 4;
  const RunConfig config = resolve({.flags = {{"plan.batch", "8"}}}, base);
  EXPECT_EQ(config.cores, "big");
  EXPECT_EQ(config.batch, 8);
}

TEST(Layers, AHigherLayersEndReplacesALowerOne) {
  const ConfigFile file("[train]\nepochs = 90\n");
  const RunConfig config = resolve({.file = file.path(), .flags = {{"train.time", "10m"}}});
  EXPECT_FALSE(config.epochs.has_value());
  EXPECT_EQ(config.time_ns, 600LL * 1'000'000'000);
}

TEST(Layers, ADeadlineStandsBesideAnotherEnd) {
  const ConfigFile file("[train]\nepochs = 90\ndeadline = \"2026-12-01T06:00:00Z\"\n");
  const RunConfig config = resolve({.file = file.path(), .flags = {{"train.steps", "5"}}});
  EXPECT_FALSE(config.epochs.has_value());
  EXPECT_EQ(config.steps, 5);
  EXPECT_EQ(config.deadline, 1796104800);
  EXPECT_FALSE(resolve({.file = file.path(), .flags = {{"train.deadline", "none"}}}).deadline);
}

TEST(Layers, TwoEndsInOneLayerAreRefused) {
  const auto error = error_of([] {
    resolve({.flags = {{"train.steps", "5"}, {"train.epochs", "2"}}});
  });
  EXPECT_THAT(error, HasSubstr("train.epochs and train.steps"));
}

TEST(Layers, AnAssignmentNeedsKeyAndValue) {
  EXPECT_THAT(error_of([] { resolve({.assignments = {"plan.batch"}}); }),
              HasSubstr("needs key=value"));
  EXPECT_THAT(error_of([] { resolve({.assignments = {"=4"}}); }), HasSubstr("needs key=value"));
  EXPECT_THAT(error_of([] { resolve({.assignments = {"plan.bach=4"}}); }),
              HasSubstr("did you mean 'plan.batch'?"));
}

TEST(Toml, EveryKindOfValueIsRead) {
  const RunConfig config = apply_toml({},
                                      "model = \"alexnet\"\n"
                                      "[machine]\ncores = \"0,1\"\nmemory = \"512M\"\n"
                                      "[optimizer]\nlearning_rate = 0.5\nnesterov = true\n"
                                      "weight_decay = 1\n",
                                      "run.toml");
  EXPECT_EQ(config.model, "alexnet");
  EXPECT_EQ(config.cores, "0,1");
  EXPECT_EQ(config.memory_bytes, 512LL << 20);
  EXPECT_EQ(config.optimizer.learning_rate, 0.5);
  EXPECT_EQ(config.optimizer.weight_decay, 1);
  EXPECT_TRUE(config.optimizer.nesterov);
}

TEST(Toml, ErrorsNameFileAndPlace) {
  EXPECT_THAT(error_of([] { apply_toml({}, "[plan]\nbatch = = 3\n", "run.toml"); }),
              ::testing::AllOf(HasSubstr("run.toml"), HasSubstr("line 2")));
  EXPECT_THAT(error_of([] { apply_toml({}, "[plan]\nbatch = [1, 2]\n", "run.toml"); }),
              HasSubstr("plan.batch needs one text, number or boolean"));
  EXPECT_THAT(error_of([] { apply_toml({}, "[plam]\nbatch = 1\n", "run.toml"); }),
              HasSubstr("did you mean 'plan.batch'?"));
  EXPECT_THAT(error_of([] { resolve({.file = "/nowhere/run.toml"}); }),
              HasSubstr("/nowhere/run.toml"));
}

TEST(Toml, TheResolvedConfigurationReadsBackEqual) {
  const std::vector<std::pair<std::string, std::string>> flags = {
      {"model", "alexnet-32"},
      {"machine.cores", "0,2-3"},
      {"machine.memory", "3GB"},
      {"plan.batch", "auto"},
      {"plan.micro_batch", "8"},
      {"plan.file", "a \"quoted\" \\ name.json"},
      {"data.folder", "photos of ü"},
      {"train.time", "90s"},
      {"train.deadline", "2h"},
      {"optimizer.kind", "adamw"},
      {"optimizer.learning_rate", "0.1"},
      {"optimizer.nesterov", "true"},
      {"learning_rate.schedule", "cosine"},
      {"train.seed", "9223372036854775807"}};
  const RunConfig config = resolve({.flags = flags});
  const RunConfig again = apply_toml({}, to_toml(config), "config.toml");
  for (const Setting& setting : settings()) {
    EXPECT_EQ(setting.get(again), setting.get(config)) << setting.key;
  }
  EXPECT_EQ(to_toml(again), to_toml(config));
}

}  // namespace
}  // namespace millrace::cli
