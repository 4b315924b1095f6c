#include <gtest/gtest.h>

#include "millrace/errors.hpp"
#include "millrace/profile.hpp"

namespace millrace {
namespace {

TEST(Interpolate, HitsTheMeasuredCounts) {
  for (const auto& [count, ns] : {std::pair{1.0, 10.0}, {8.0, 50.0}, {64.0, 400.0}}) {
    EXPECT_EQ(interpolate_ns({1, 8, 64}, {10, 50, 400}, count), ns);
  }
}

TEST(Interpolate, IsLinearBetween) {
  EXPECT_DOUBLE_EQ(interpolate_ns({1, 8, 64}, {10, 50, 400}, 4.5), 30);
  EXPECT_DOUBLE_EQ(interpolate_ns({1, 8, 64}, {10, 50, 400}, 36), 225);
}

TEST(Interpolate, IsProportionalBeyondTheEnds) {
  EXPECT_DOUBLE_EQ(interpolate_ns({1, 8, 64}, {10, 50, 400}, 128), 800);
  EXPECT_DOUBLE_EQ(interpolate_ns({4, 8}, {20, 50}, 1), 5);
  EXPECT_EQ(interpolate_ns({4, 8}, {20, 50}, 0), 0);
}

TEST(Interpolate, OneCountIsProportional) {
  EXPECT_DOUBLE_EQ(interpolate_ns({8}, {40}, 3), 15);
  EXPECT_DOUBLE_EQ(interpolate_ns({8}, {40}, 80), 400);
}

TEST(Interpolate, WithoutOneCostPerCountIsABug) {
  EXPECT_THROW(interpolate_ns({}, {}, 1), InternalError);
  EXPECT_THROW(interpolate_ns({1, 2}, {5}, 1), InternalError);
}

TEST(Profile, FindsKindsByName) {
  Profile profile;
  profile.kinds = {{"big", 4}, {"little", 4}};
  EXPECT_EQ(profile.kind_index("little"), 1);
  EXPECT_EQ(profile.kind_index("gpu"), -1);
}

}  // namespace
}  // namespace millrace
