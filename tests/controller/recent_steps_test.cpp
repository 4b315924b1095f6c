#include "controller/recent_steps.hpp"

#include <gtest/gtest.h>

namespace millrace {
namespace {

StepReport step(std::int64_t samples, double loss) {
  StepReport report;
  report.samples = samples;
  report.loss = loss;
  return report;
}

TEST(RecentSteps, WeighsByLossesSamples) {
  RecentSteps steps;
  steps.add(step(30, 1), 1'000'000);
  steps.add(step(10, 3), 3'000'000);
  EXPECT_DOUBLE_EQ(steps.loss(2), 1.5);
  EXPECT_DOUBLE_EQ(steps.loss(1), 3);
  EXPECT_DOUBLE_EQ(steps.loss(50), 1.5);
  EXPECT_DOUBLE_EQ(steps.images_per_second(2), 10'000);
  EXPECT_DOUBLE_EQ(steps.step_ns(2), 2e6);
}

TEST(RecentSteps, ForgetsButCountsAll) {
  RecentSteps steps;
  for (std::size_t i = 0; i < RecentSteps::kWindow; ++i) steps.add(step(1, 9), 1'000'000'000);
  for (std::size_t i = 0; i < RecentSteps::kWindow; ++i) steps.add(step(3, 1), 1'000'000'000);
  EXPECT_DOUBLE_EQ(steps.loss(1000), 1);
  EXPECT_DOUBLE_EQ(steps.images_per_second(1000), 3);
  EXPECT_DOUBLE_EQ(steps.images_per_second_of_all(), 2);
  EXPECT_EQ(steps.count(), 200);
}

TEST(RecentSteps, OfNothingIsZero) {
  const RecentSteps steps;
  EXPECT_EQ(steps.loss(5), 0);
  EXPECT_EQ(steps.images_per_second(5), 0);
  EXPECT_EQ(steps.step_ns(5), 0);
}

}  // namespace
}  // namespace millrace
