#include "controller/estimate/tried_steps.hpp"

#include <gtest/gtest.h>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

constexpr double kMs = 1e6;

TEST(TriedSteps, EqualStepsLeaveWhatAQuietMachineChangesBy) {
  const TriedSteps steps = tried_steps(std::vector<double>(1000, 500 * kMs), 0);
  EXPECT_DOUBLE_EQ(steps.mean_ns, 500 * kMs);
  EXPECT_DOUBLE_EQ(steps.spread, 0);
  EXPECT_DOUBLE_EQ(steps.uncertainty, 0.03);
}

TEST(TriedSteps, FewStepsAreTakenForAsDifferentAsThoseBefore) {
  const TriedSteps steps = tried_steps({500 * kMs}, 0.1);
  EXPECT_NEAR(steps.spread, 0.1, 1e-12);
  EXPECT_GT(steps.uncertainty, 0.1);
}

TEST(TriedSteps, ADisturbanceCountsForLessThanItTook) {
  std::vector<double> some(19, 100 * kMs);
  some.push_back(500 * kMs);
  const TriedSteps steps = tried_steps(some, 0);
  EXPECT_GT(steps.mean_ns, 110 * kMs);
  EXPECT_LT(steps.mean_ns, 120 * kMs);
}

TEST(TriedSteps, ShortStepsAreDisturbedTogether) {
  std::vector<double> alternating;
  for (int i = 0; i < 30; ++i) alternating.push_back(0.8 + 0.2 * (i % 3));
  const auto uncertainty = [&](double ns) {
    std::vector<double> steps = alternating;
    for (double& step : steps) step *= ns;
    return tried_steps(steps, 0).uncertainty;
  };
  EXPECT_GT(uncertainty(10 * kMs), 1.05 * uncertainty(1000 * kMs));
}

TEST(TriedSteps, NoStepsAreOurFault) { EXPECT_THROW(tried_steps({}, 0), InternalError); }

}  // namespace
}  // namespace millrace
