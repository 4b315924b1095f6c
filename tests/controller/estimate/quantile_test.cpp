#include "controller/estimate/quantile.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

TEST(NormalQuantile, EqualsTheTables) {
  EXPECT_NEAR(normal_quantile(0.5), 0, 1e-12);
  EXPECT_NEAR(normal_quantile(0.9), 1.2815515655446004, 1e-10);
  EXPECT_NEAR(normal_quantile(0.99), 2.3263478740408408, 1e-10);
  EXPECT_NEAR(normal_quantile(0.999999), 4.753424308822899, 1e-8);
  EXPECT_NEAR(normal_quantile(1 - 1e-12), 7.034484, 1e-3);
}

TEST(StudentQuantile, EqualsTheTables) {
  EXPECT_NEAR(student_quantile(0.95, 4), 2.132, 0.02);
  EXPECT_NEAR(student_quantile(0.99, 4), 3.747, 0.04);
  EXPECT_NEAR(student_quantile(0.99, 10), 2.764, 0.003);
  EXPECT_NEAR(student_quantile(0.999, 30), 3.385, 0.003);
}

TEST(StudentQuantile, FallsToTheNormalOnesWithManyDegrees) {
  double previous = student_quantile(0.99, 3);
  for (const double degrees : {4.0, 8.0, 30.0, 1000.0}) {
    const double quantile = student_quantile(0.99, degrees);
    EXPECT_LT(quantile, previous);
    previous = quantile;
  }
  EXPECT_NEAR(student_quantile(0.99, 1e6), normal_quantile(0.99), 1e-4);
}

TEST(Confidence, LiesBetweenOneHalfAndOne) {
  EXPECT_NO_THROW(check_confidence(0.51));
  for (const double bad : {0.5, 1.0, 0.0, -1.0, 99.0, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THROW(check_confidence(bad), ConfigError) << bad;
  }
}

}  // namespace
}  // namespace millrace
