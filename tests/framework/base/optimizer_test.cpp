#include "millrace/optimizer.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

TEST(LearningRate, WarmsUpLinearlyThenFollowsItsName) {
  LearningRateSchedule schedule{.name = "step", .warmup_steps = 4, .step_size = 10, .gamma = 0.5};
  EXPECT_DOUBLE_EQ(schedule.factor(0), 0.25);
  EXPECT_DOUBLE_EQ(schedule.factor(3), 1.0);
  EXPECT_DOUBLE_EQ(schedule.factor(4), 1.0);
  EXPECT_DOUBLE_EQ(schedule.factor(13), 1.0);
  EXPECT_DOUBLE_EQ(schedule.factor(14), 0.5);
  EXPECT_DOUBLE_EQ(schedule.factor(24), 0.25);
}

TEST(LearningRate, CosineEndsAtZero) {
  LearningRateSchedule schedule{.name = "cosine", .total_steps = 100};
  EXPECT_DOUBLE_EQ(schedule.factor(0), 1.0);
  EXPECT_NEAR(schedule.factor(50), 0.5, 1e-12);
  EXPECT_NEAR(schedule.factor(100), 0.0, 1e-12);
  EXPECT_NEAR(schedule.factor(1000), 0.0, 1e-12);
}

TEST(LearningRate, BadSchedulesAreRefused) {
  EXPECT_THROW(check(LearningRateSchedule{.name = "sine"}), ConfigError);
  EXPECT_THROW(check(LearningRateSchedule{.warmup_steps = -1}), ConfigError);
  EXPECT_THROW(check(LearningRateSchedule{.step_size = 0}), ConfigError);
  EXPECT_THROW(check(LearningRateSchedule{.gamma = 0}), ConfigError);
  EXPECT_THROW(check(LearningRateSchedule{.name = "cosine"}), ConfigError);
  EXPECT_NO_THROW(check(LearningRateSchedule{}));
}

TEST(Optimizer, BadSettingsAreRefused) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_NO_THROW(check(OptimizerSettings{}));
  EXPECT_THROW(check(OptimizerSettings{.learning_rate = -1}), ConfigError);
  EXPECT_THROW(check(OptimizerSettings{.learning_rate = nan}), ConfigError);
  EXPECT_THROW(check(OptimizerSettings{.momentum = 1}), ConfigError);
  EXPECT_THROW(check(OptimizerSettings{.momentum = 0, .nesterov = true}), ConfigError);
  EXPECT_THROW(check(OptimizerSettings{.weight_decay = -1}), ConfigError);
  EXPECT_THROW(check(OptimizerSettings{.beta2 = 1}), ConfigError);
  EXPECT_THROW(check(OptimizerSettings{.epsilon = 0}), ConfigError);
  EXPECT_THROW(check(OptimizerSettings{.clip_norm = -1}), ConfigError);
}

}  // namespace
}  // namespace millrace
