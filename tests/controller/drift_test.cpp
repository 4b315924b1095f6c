#include "controller/drift.hpp"

#include <gtest/gtest.h>

namespace millrace {
namespace {

constexpr std::int64_t kStep_ns = 400'000'000;  // three fill a window

/// Of two workers; the time of a step is the slower one's.
StepReport step_of(std::int64_t first_ns, std::int64_t second_ns) {
  StepReport report;
  report.tasks = {{{0, ActionKind::forward, 0}, 0, 0, 0, first_ns / 2},
                  {{0, ActionKind::backward, 0}, 0, 0, 0, first_ns - first_ns / 2},
                  {{0, ActionKind::forward, 0}, 0, 1, 0, second_ns}};
  return report;
}

class DriftWatchTest : public testing::Test {
 protected:
  void steps(int count, double first, double second) {
    const auto ns = [](double steps) { return static_cast<std::int64_t>(steps * kStep_ns); };
    for (int i = 0; i < count; ++i)
      watch_.observe(step_of(ns(first), ns(second)), ns(std::max(first, second)));
  }
  DriftWatch watch_;
};

TEST_F(DriftWatchTest, IsQuietWhileStepsTakeTheSame) {
  steps(1, 5, 5);  // the first one does not count
  EXPECT_FALSE(watch_.first_step_ns());
  steps(3, 1, 1);
  EXPECT_DOUBLE_EQ(*watch_.first_step_ns(), kStep_ns);
  for (int i = 0; i < 20; ++i) steps(1, i % 2 == 0 ? 0.9 : 1.1, 1);
  EXPECT_FALSE(watch_.has_drifted());
}

TEST_F(DriftWatchTest, SeesSlowerSteps) {
  steps(4, 1, 1);
  steps(3, 1.3, 1);
  EXPECT_TRUE(watch_.has_drifted());
  EXPECT_DOUBLE_EQ(*watch_.first_step_ns(), kStep_ns);
  EXPECT_DOUBLE_EQ(*watch_.last_step_ns(), 1.3 * kStep_ns);
}

TEST_F(DriftWatchTest, OneSlowStepIsNone) {
  steps(4, 1, 1);
  steps(1, 4, 4);
  steps(2, 1, 1);
  EXPECT_FALSE(watch_.has_drifted());
}

TEST_F(DriftWatchTest, SeesAWorkerThatHasBecomeFasterBehindASlowOne) {
  steps(4, 1, 0.9);
  steps(3, 1, 0.4);
  EXPECT_DOUBLE_EQ(*watch_.last_step_ns(), kStep_ns);
  EXPECT_TRUE(watch_.has_drifted());
}

/// Replicas sum their gradients together: who is done first waits in its own task.
TEST_F(DriftWatchTest, SeesAWorkerThatHasBecomeFasterAndWaitsInItsTasks) {
  const auto step = [](std::int64_t waited_ns) {
    StepReport report = step_of(kStep_ns, kStep_ns);
    report.tasks.back().waited_ns = waited_ns;
    return report;
  };
  for (int i = 0; i < 4; ++i) watch_.observe(step(0), kStep_ns);
  EXPECT_FALSE(watch_.has_drifted());
  for (int i = 0; i < 3; ++i) watch_.observe(step(kStep_ns / 2), kStep_ns);
  EXPECT_TRUE(watch_.has_drifted());
}

TEST_F(DriftWatchTest, LeavesOutWorkersThatHardlyWork) {
  steps(4, 1, 0.01);
  steps(3, 1, 0.03);
  EXPECT_FALSE(watch_.has_drifted());
}

TEST_F(DriftWatchTest, ManyShortStepsFillASecond) {
  steps(1, 0.01, 0.01);
  steps(249, 0.01, 0.01);
  EXPECT_FALSE(watch_.first_step_ns()) << "less than a second";
  steps(1, 0.01, 0.01);
  EXPECT_TRUE(watch_.first_step_ns());
}

TEST_F(DriftWatchTest, ForgetsWithThePlan) {
  steps(4, 1, 1);
  steps(3, 2, 2);
  watch_.forget();
  EXPECT_FALSE(watch_.has_drifted());
  steps(4, 2, 2);
  EXPECT_FALSE(watch_.has_drifted());
  EXPECT_DOUBLE_EQ(*watch_.first_step_ns(), 2 * kStep_ns);
}

}  // namespace
}  // namespace millrace
