#include "kernels/matrix/precision.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace millrace::kernels {
namespace {

float rounded(float value) { return low_of_pair(pair_of(value, 0)); }

TEST(Bfloat16, IsTheNearestWithTiesToEven) {
  EXPECT_EQ(rounded(1), 1);
  EXPECT_EQ(rounded(1 + 0x1p-8F), 1) << "half way to 1 + 2^-7, which is odd";
  EXPECT_EQ(rounded(1 + 3 * 0x1p-8F), 1 + 0x1p-6F) << "half way, the lower one is odd";
  EXPECT_EQ(rounded(1 + 0x1.02p-8F), 1 + 0x1p-7F);
  EXPECT_EQ(rounded(-1.5F), -1.5F);
}

TEST(Bfloat16, KeepsWhatIsNoNumberOrInfinite) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(rounded(infinity), infinity);
  EXPECT_EQ(rounded(-infinity), -infinity);
  EXPECT_EQ(rounded(std::numeric_limits<float>::max()), infinity);
  EXPECT_TRUE(std::isnan(rounded(std::bit_cast<float>(0x7FFFFFFFU))));
  EXPECT_TRUE(std::isnan(rounded(std::bit_cast<float>(0x7F800001U))));
}

TEST(Bfloat16, PairsHoldBothInOrder) {
  const float pair = pair_of(3, -5);
  EXPECT_EQ(low_of_pair(pair), 3);
  EXPECT_EQ(high_of_pair(pair), -5);
}

}  // namespace
}  // namespace millrace::kernels
