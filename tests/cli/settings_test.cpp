#include "controller/cli/settings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "millrace/errors.hpp"
#include "millrace/topology.hpp"

namespace millrace::cli {
namespace {

using ::testing::HasSubstr;

std::string error_of(const std::string& key, const std::string& text) {
  RunConfig config;
  try {
    find_setting(key, "test").set(config, text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(Settings, KeysAndFlagsAreUnique) {
  std::set<std::string> keys, flags;
  for (const Setting& setting : settings()) {
    EXPECT_TRUE(keys.insert(setting.key).second) << setting.key;
    if (!setting.flag.empty()) {
      EXPECT_TRUE(flags.insert(setting.flag).second) << setting.flag;
    }
    EXPECT_FALSE(setting.help.empty()) << setting.key;
  }
}

TEST(Settings, TheDefaultsAreAcceptedAsWritten) {
  for (const Setting& setting : settings()) {
    RunConfig config;
    const auto text = setting.get(config);
    if (!text) continue;
    setting.set(config, *text);
    EXPECT_EQ(setting.get(config), text) << setting.key;
  }
}

TEST(Settings, StoreWhatTheyAreGiven) {
  RunConfig config;
  const auto set = [&](const std::string& key, const std::string& text) {
    find_setting(key, "test").set(config, text);
  };
  set("machine.cores", "0,2-3");
  set("machine.memory", "1.5GiB");
  set("plan.batch", "128");
  set("plan.micro_batch", "16");
  set("plan.recompute", "all");
  set("plan.batch_norm", "micro-batch");
  set("plan.objective", "period");
  set("train.time", "2h30m");
  set("train.deadline", "2026-12-01T06:00:00Z");
  set("optimizer.kind", "adamw");
  set("optimizer.learning_rate", "1e-3");
  set("optimizer.nesterov", "true");
  set("http.port", "8080");
  EXPECT_EQ(config.cores, "0,2-3");
  EXPECT_EQ(config.memory_bytes, 1536LL << 20);
  EXPECT_EQ(config.batch, 128);
  EXPECT_EQ(config.micro_batch, 16);
  EXPECT_EQ(config.recompute, RecomputePolicy::all);
  EXPECT_EQ(config.statistics, BatchStatistics::micro_batch);
  EXPECT_EQ(config.objective, Objective::period);
  EXPECT_EQ(config.time_ns, 9000LL * 1'000'000'000);
  EXPECT_EQ(config.deadline, 1796104800);
  EXPECT_EQ(find_setting("train.deadline", "test").get(config), "2026-12-01T06:00:00Z");
  set("train.energy_budget", "1.5Wh");
  EXPECT_EQ(config.energy_joules, 5400);
  EXPECT_EQ(find_setting("train.energy_budget", "test").get(config), "5400J");
  set("train.max_temp", "72.5");
  EXPECT_EQ(config.max_celsius, 72.5);
  EXPECT_EQ(find_setting("train.max_temp", "test").get(config), "72.5");
  set("train.energy_budget", "none");
  set("train.max_temp", "none");
  EXPECT_FALSE(config.energy_joules || config.max_celsius);
  set("train.deadline", "none");
  EXPECT_FALSE(config.deadline.has_value());
  EXPECT_EQ(config.optimizer.kind, OptimizerKind::adamw);
  EXPECT_EQ(config.optimizer.learning_rate, 1e-3);
  EXPECT_TRUE(config.optimizer.nesterov);
  EXPECT_EQ(config.http_port, 8080);
  set("http.port", "none");
  EXPECT_EQ(config.http_port, std::nullopt);
}

TEST(Settings, AutoLeavesAValueOpen) {
  RunConfig config;
  config.micro_batch = 4;
  find_setting("plan.batch", "test").set(config, "auto");
  find_setting("plan.micro_batch", "test").set(config, "auto");
  EXPECT_EQ(config.batch, kAutomaticBatch);
  EXPECT_FALSE(config.micro_batch.has_value());
  EXPECT_EQ(find_setting("plan.micro_batch", "test").get(config), "auto");
  EXPECT_THAT(error_of("plan.max_stages", "auto"), HasSubstr("a whole number from 1"));
}

struct BadValue {
  const char *key, *text, *rule;
};

class BadValues : public ::testing::TestWithParam<BadValue> {};

TEST_P(BadValues, NameKeyValueAndRule) {
  const auto& [key, text, rule] = GetParam();
  const std::string error = error_of(key, text);
  EXPECT_THAT(error, HasSubstr(text));
  EXPECT_THAT(error, HasSubstr(rule));
}

INSTANTIATE_TEST_SUITE_P(
    Of, BadValues,
    ::testing::Values(
        BadValue{"plan.batch", "0", "whole number from 1 to 65536, or auto"},
        BadValue{"plan.batch", "-4", "whole number"}, BadValue{"plan.batch", "4.5", "whole number"},
        BadValue{"plan.batch", "four", "whole number"},
        BadValue{"plan.batch", "99999999999999999999", "whole number"},
        BadValue{"plan.schedule", "1f1c", "did you mean '1f1b'?"},
        BadValue{"plan.recompute", "some", "did you mean"},
        BadValue{"plan.batch_norm", "bach", "did you mean"},
        BadValue{"plan.objective", "speed", "one of makespan, period"},
        BadValue{"optimizer.kind", "adam", "did you mean 'adamw'?"},
        BadValue{"optimizer.learning_rate", "-1", "a number from 0"},
        BadValue{"optimizer.learning_rate", "nan", "a number from 0"},
        BadValue{"optimizer.momentum", "1.5", "a number from 0 to 1"},
        BadValue{"optimizer.nesterov", "yes", "true or false"},
        BadValue{"machine.memory", "lots", "no size"},
        BadValue{"machine.memory", "0", "more than 0"}, BadValue{"machine.gpu", "2", "cores only"},
        BadValue{"machine.gpu", "some", "none, auto or a number"},
        BadValue{"train.precision", "fp8", "fp32, bf16 or auto"},
        BadValue{"http.port", "65536", "a port from 0 to 65535, or none"},
        BadValue{"http.port", "8080x", "a port from 0"}, BadValue{"train.time", "soon", "soon"},
        BadValue{"train.deadline", "soon", "no deadline"},
        BadValue{"train.energy_budget", "5W", "no energy"},
        BadValue{"train.energy_budget", "0J", "more than 0"},
        BadValue{"train.max_temp", "200", "degrees Celsius"},
        BadValue{"train.seed", "-1", "whole number"}));

TEST(Settings, PrecisionIsThatOfTheCpuWhereItIsLeftToIt) {
  RunConfig config;
  const Setting& precision = find_setting("train.precision", "a test");
  precision.set(config, "auto");
  EXPECT_EQ(config.precision, computes_bf16() ? Precision::bf16 : Precision::fp32);
  precision.set(config, "fp32");
  EXPECT_EQ(config.precision, Precision::fp32);
  precision.set(config, "bf16");  // a run's file may say so on another CPU
  EXPECT_EQ(config.precision, Precision::bf16);
}

TEST(Settings, AnUnknownKeyNamesItsOriginAndTheClosest) {
  try {
    find_setting("plan.micro_bach", "run.toml");
    FAIL() << "was accepted";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("run.toml"));
    EXPECT_THAT(error.what(), HasSubstr("did you mean 'plan.micro_batch'?"));
  }
}

}  // namespace
}  // namespace millrace::cli
