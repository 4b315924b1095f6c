#include "kernels/max_pool/max_pool.hpp"

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

struct Sides {
  std::int64_t height, width;
};

PoolShape square(std::int64_t n, Sides in, std::int64_t channels, Sides out, std::int64_t taps,
                 std::int64_t stride, std::int64_t pad) {
  return {n,    in.height, in.width, channels, out.height, out.width,
          taps, taps,      stride,   stride,   pad,        pad};
}

std::vector<PoolShape> shapes() {
  return {
      {.n = 1, .height = 1, .width = 1, .channels = 1},
      {.n = 2,
       .height = 7,
       .width = 9,
       .channels = 5,
       .out_height = 3,
       .out_width = 4,
       .taps_y = 3,
       .taps_x = 3,
       .stride_y = 2,
       .stride_x = 2},
      {.n = 3,
       .height = 6,
       .width = 6,
       .channels = 33,
       .out_height = 3,
       .out_width = 3,
       .taps_y = 2,
       .taps_x = 2,
       .stride_y = 2,
       .stride_x = 2},
      {.n = 1,
       .height = 9,
       .width = 8,
       .channels = 16,
       .out_height = 9,
       .out_width = 8,
       .taps_y = 3,
       .taps_x = 3,
       .pad_y = 1,
       .pad_x = 1},
      {.n = 2,
       .height = 9,
       .width = 10,
       .channels = 3,
       .out_height = 5,
       .out_width = 4,
       .taps_y = 2,
       .taps_x = 3,
       .stride_y = 1,
       .stride_x = 2,
       .dilation_y = 4,
       .dilation_x = 2},
      // ceil mode: the last windows reach outside
      {.n = 1,
       .height = 6,
       .width = 6,
       .channels = 9,
       .out_height = 3,
       .out_width = 3,
       .taps_y = 3,
       .taps_x = 3,
       .stride_y = 2,
       .stride_x = 2},
      // more windows over a pixel than are looked at in one go; gaps between windows
      {.n = 1,
       .height = 20,
       .width = 18,
       .channels = 2,
       .out_height = 4,
       .out_width = 5,
       .taps_y = 17,
       .taps_x = 14},
      {.n = 1,
       .height = 9,
       .width = 9,
       .channels = 4,
       .out_height = 3,
       .out_width = 3,
       .taps_y = 1,
       .taps_x = 2,
       .stride_y = 4,
       .stride_x = 3},
      // few channels in long rows: most windows take whole vectors, the last ones parts of one
      square(2, {9, 29}, 6, {4, 14}, 2, 2, 0),
      square(2, {9, 29}, 6, {5, 15}, 3, 2, 1),
      square(1, {5, 27}, 3, {3, 14}, 2, 2, 1),  // windows apart, the first ones reach outside
      square(2, {8, 26}, 20, {3, 9}, 3, 3, 0),  // and so do the last
  };
}

struct Case {
  PoolShape shape;
  Guarded<float> x, y, dy, dx;
  Guarded<std::uint8_t> from;

  Case(const PoolShape& s, Edge edge)
      : shape(s),
        x(static_cast<std::size_t>(s.n * s.height * s.width * s.channels), edge),
        y(static_cast<std::size_t>(s.n * s.out_height * s.out_width * s.channels), edge),
        dy(y.size(), edge),
        dx(x.size(), edge),
        from(y.size(), edge) {
    std::mt19937 random(7);
    for (float& value : x) value = static_cast<float>(random() % 8) - 4;  // many are equal
    for (float& value : dy) value = static_cast<float>(random() % 64);
    for (float& value : dx) value = NAN;
  }
};

template <typename Check>
void for_each_case_here(const Check& check) {
  for (const PoolShape& shape : shapes())
    for (const Edge edge : {Edge::begin, Edge::end}) {
      SCOPED_TRACE(::testing::Message() << shape.height << " x " << shape.width << ", "
                                        << shape.taps_y << " x " << shape.taps_x << " taps");
      Case c(shape, edge);
      check(c);
    }
}

/// With the machine's best instructions, with AVX2 where it has that, and with what every machine
/// has.
template <typename Check>
void for_each_case(const Check& check) {
  for_each_case_here(check);
  for (const std::int64_t target : {std::int64_t{HWY_AVX2}, std::int64_t{HWY_STATIC_TARGET}}) {
    if ((hwy::SupportedTargets() & target) == 0) continue;
    hwy::SetSupportedTargetsForTest(target);
    for_each_case_here(check);
    hwy::SetSupportedTargetsForTest(0);
  }
}

void expect_reference(Case& c, bool relu) {
  std::vector<float> y(c.y.size());
  std::vector<std::uint8_t> from(c.from.size());
  max_pool_reference(c.shape, c.x.data(), relu, y.data(), from.data());
  max_pool_cpu(c.shape, c.x.data(), relu, c.y.data(), c.from.data());
  for (std::size_t i = 0; i < y.size(); ++i) {
    ASSERT_EQ(c.y[i], y[i]) << i;
    ASSERT_EQ(c.from[i], from[i]) << i;
  }
  for (float& value : c.y) value = NAN;
  max_pool_cpu(c.shape, c.x.data(), relu, c.y.data(), nullptr);
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(c.y[i], y[i]) << i;
}

TEST(MaxPool, EqualsTheReference) {
  for_each_case([](Case& c) { expect_reference(c, false); });
}

TEST(MaxPool, WithReluEqualsTheReference) {
  for_each_case([](Case& c) { expect_reference(c, true); });
}

TEST(MaxPool, WithReluIsPoolingOfWhatIsClamped) {
  for_each_case([](Case& c) {
    std::vector<float> y(c.y.size());
    std::vector<std::uint8_t> from(c.from.size());
    max_pool_cpu(c.shape, c.x.data(), true, y.data(), from.data());
    for (float& value : c.x) value = std::max(value, 0.0F);
    max_pool_cpu(c.shape, c.x.data(), false, c.y.data(), c.from.data());
    for (std::size_t i = 0; i < y.size(); ++i) {
      ASSERT_EQ(y[i], c.y[i]) << i;
      ASSERT_EQ(from[i], y[i] > 0 ? c.from[i] : kNoPixel) << i;  // relu's gradient is 0 at 0
    }
  });
}

TEST(MaxPool, GradientEqualsTheReference) {
  for_each_case([](Case& c) {
    max_pool_cpu(c.shape, c.x.data(), true, c.y.data(), c.from.data());
    std::vector<double> expected(c.dx.size());
    max_pool_gradient_reference(c.shape, c.dy.data(), c.from.data(), expected.data());
    max_pool_gradient_cpu(c.shape, c.dy.data(), c.from.data(), c.dx.data());
    for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(c.dx[i], expected[i]) << i;
  });
}

TEST(MaxPool, KeepsWhatIsNoNumber) {
  const PoolShape shape{.n = 1,
                        .height = 1,
                        .width = 4,
                        .channels = 1,
                        .out_height = 1,
                        .out_width = 2,
                        .taps_y = 1,
                        .taps_x = 2,
                        .stride_x = 2};
  const float x[] = {std::numeric_limits<float>::quiet_NaN(), 1,
                     -std::numeric_limits<float>::infinity(),
                     -std::numeric_limits<float>::infinity()};
  float y[2];
  std::uint8_t from[2];
  for (const bool relu : {false, true}) {
    max_pool_cpu(shape, x, relu, y, from);
    EXPECT_TRUE(std::isnan(y[0]));
    EXPECT_EQ(from[0], 0);
    EXPECT_EQ(y[1], relu ? 0 : x[2]);
    EXPECT_EQ(from[1], relu ? kNoPixel : 0);
  }
}

}  // namespace
}  // namespace millrace::kernels
