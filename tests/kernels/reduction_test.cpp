#include "kernels/reduction/reduction.hpp"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "tests/kernels/guarded.hpp"

namespace millrace::kernels {
namespace {

using testing::Edge;
using testing::Guarded;

class Reduction : public ::testing::TestWithParam<std::int64_t> {
 protected:
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }

  static void fill(Guarded<float>& values, unsigned seed) {
    std::minstd_rand random(seed);
    std::normal_distribution<float> normal;
    for (float& value : values) value = normal(random);
  }

  /// With the best instructions and the baseline's, guarded on either side.
  template <typename Check>
  static void for_each_version(const Check& check) {
    for (const std::int64_t targets : {std::int64_t{0}, std::int64_t{HWY_STATIC_TARGET}})
      for (const Edge guard : {Edge::begin, Edge::end}) {
        SCOPED_TRACE(::testing::Message() << targets << " " << (guard == Edge::begin));
        hwy::SetSupportedTargetsForTest(targets);
        check(guard);
      }
  }
};

TEST_P(Reduction, SumOfSquaresIsTheReference) {
  for_each_version([](Edge guard) {
    Guarded<float> x(static_cast<std::size_t>(GetParam()), guard);
    fill(x, 1);
    const double expected = sum_of_squares_reference(x.data(), GetParam());
    EXPECT_NEAR(sum_of_squares_cpu(x.data(), GetParam()), expected, 1e-13 * expected);
  });
}

TEST_P(Reduction, AddIsTheReference) {
  for_each_version([](Edge guard) {
    const auto n = static_cast<std::size_t>(GetParam());
    Guarded<float> x(n, guard), to(n, guard), expected(n, guard);
    fill(x, 1);
    fill(to, 2);
    fill(expected, 2);
    add_reference(x.data(), GetParam(), expected.data());
    add_cpu(x.data(), GetParam(), to.data());
    EXPECT_TRUE(std::equal(to.begin(), to.end(), expected.begin()));
  });
}

TEST_P(Reduction, ColumnSumsAreTheReference) {
  const std::int64_t columns = GetParam();
  for (const std::int64_t rows : {1, 5, 64, 65, 200})
    for (const bool add : {false, true})
      for_each_version([&](Edge guard) {
        const SumShape shape{rows, columns, columns + 3};
        Guarded<float> x(static_cast<std::size_t>((rows - 1) * shape.row + columns), guard);
        Guarded<float> sums(static_cast<std::size_t>(columns), guard),
            expected(static_cast<std::size_t>(columns), guard);
        fill(x, 3);
        fill(sums, 4);
        fill(expected, 4);
        column_sums_reference(shape, x.data(), add, expected.data());
        column_sums_cpu(shape, x.data(), add, sums.data());
        const double most = std::numeric_limits<float>::epsilon() * 4 * std::sqrt(double(rows)) * 8;
        for (std::size_t c = 0; c < sums.size(); ++c) ASSERT_NEAR(sums[c], expected[c], most) << c;
      });
}

INSTANTIATE_TEST_SUITE_P(Sizes, Reduction, ::testing::Values(1, 3, 7, 8, 16, 31, 33, 100, 1000));

}  // namespace
}  // namespace millrace::kernels
