// The convolutions against the reference in double, and Winograd's error against a direct one.

#include "kernels/convolution/convolution.hpp"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/convolution/direct.hpp"
#include "kernels/convolution/toom_cook.hpp"
#include "kernels/convolution/winograd.hpp"
#include "tests/kernels/guarded.hpp"

namespace millrace::kernels {
namespace {

using testing::Edge;
using testing::Guarded;
using Doubles = std::vector<double>;

std::string name_of(const ConvolutionShape& s) {
  return std::to_string(s.n) + " x " + std::to_string(s.height) + " x " + std::to_string(s.width) +
         " x " + std::to_string(s.channels) + " -> " + std::to_string(s.filters) + ", " +
         std::to_string(s.taps_y) + " taps, stride " + std::to_string(s.stride_y) + ", pad " +
         std::to_string(s.pad_y) + "/" + std::to_string(s.pad_x);
}

ConvolutionShape square(std::int64_t n, std::int64_t side, std::int64_t channels,
                        std::int64_t filters, std::int64_t taps, std::int64_t pad,
                        std::int64_t stride = 1) {
  return {.n = n,
          .height = side,
          .width = side,
          .channels = channels,
          .filters = filters,
          .taps_y = taps,
          .taps_x = taps,
          .stride_y = stride,
          .stride_x = stride,
          .pad_y = pad,
          .pad_x = pad};
}

/// Every size of tile, partial tiles and panels, several blocks, strides, one channel, one sample.
std::vector<ConvolutionShape> shapes() {
  std::vector<ConvolutionShape> all = {
      square(1, 4, 1, 1, 3, 1),       square(2, 13, 3, 5, 3, 1),   square(3, 6, 17, 33, 3, 0),
      square(1, 8, 16, 16, 3, 1),     square(2, 9, 7, 18, 5, 2),   square(1, 4, 40, 9, 5, 2),
      square(12, 13, 20, 34, 3, 1),   square(1, 60, 2, 3, 3, 1),   square(1, 41, 3, 8, 11, 2, 4),
      square(4, 35, 3, 17, 11, 2, 4), square(2, 23, 2, 5, 6, 1, 2)};
  all.push_back(square(2, 12, 5, 6, 3, 2));
  all.back().width = 7;
  all.back().pad_x = 0;
  return all;
}

/// What only a direct convolution takes: one pixel, groups, dilation, taps that are not square.
std::vector<ConvolutionShape> odd_shapes() {
  std::vector<ConvolutionShape> all = {square(1, 1, 1, 1, 1, 0),    square(3, 5, 4, 6, 1, 0, 2),
                                       square(2, 9, 6, 4, 3, 1, 2), square(1, 8, 3, 2, 8, 0),
                                       square(2, 12, 12, 21, 3, 1), square(2, 9, 8, 12, 3, 0, 3),
                                       square(1, 10, 500, 3, 3, 1), square(1, 3, 130, 2, 3, 2)};
  all[4].groups = 3;
  all[5].groups = 4;
  all[5].dilation_y = all[5].dilation_x = 2;
  ConvolutionShape uneven = square(2, 11, 3, 18, 3, 1);
  uneven.width = 6;
  uneven.taps_x = 2;
  uneven.stride_y = 2;
  uneven.dilation_y = 3;
  uneven.pad_x = 0;
  all.push_back(uneven);
  all.push_back({.n = 2,
                 .height = 1,
                 .width = 30,
                 .channels = 2,
                 .filters = 3,
                 .taps_x = 4,
                 .stride_x = 3,
                 .pad_x = 2,
                 .dilation_x = 2});
  all.push_back({.n = 2,  // every tap lies in the padding
                 .height = 1,
                 .width = 5,
                 .channels = 3,
                 .filters = 4,
                 .taps_y = 2,
                 .pad_y = 1,
                 .dilation_y = 2});
  return all;
}

template <typename Values>
void fill(Values& values, std::uint64_t seed, bool relu = false) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  for (float& value : values) {
    value = normal(random);
    if (relu && value < 0) value = 0;
  }
}

std::size_t size_of(std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t d) {
  return static_cast<std::size_t>(a * b * c * d);
}

/// Inputs and outputs of all passes, each next to guarded pages.
template <typename Kernel>
struct Case {
  ConvolutionShape shape;
  Guarded<float> x, w, bias, dy, y, dx, dw, db;
  Kernel kernel;
  Guarded<float> workspace;

  explicit Case(const ConvolutionShape& s, Edge edge = Edge::end)
      : shape(s),
        x(size_of(s.n, s.height, s.width, s.channels), edge),
        w(size_of(s.filters, s.channels / s.groups, s.taps_y, s.taps_x), edge),
        bias(size_of(s.filters, 1, 1, 1), edge),
        dy(size_of(s.n, s.out_height(), s.out_width(), s.filters), edge),
        y(dy.size(), edge),
        dx(x.size(), edge),
        dw(w.size(), edge),
        db(bias.size(), edge),
        kernel(Kernel::make(s).value()),
        workspace(static_cast<std::size_t>(kernel.workspace_floats()), Edge::begin) {
    fill(x, 1, true);
    fill(w, 2);
    fill(bias, 3);
    fill(dy, 4);
    for (Guarded<float>* out : {&y, &dx, &dw, &db, &workspace}) {
      for (float& value : *out) value = NAN;  // whatever is left of it shows
    }
  }

  ImageView view() const {
    return {x.data(), shape.height * shape.width * shape.channels, shape.width * shape.channels,
            shape.channels, 1};
  }
  void run(bool relu = false) {
    kernel.forward(view(), w.data(), bias.data(), relu, y.data(), workspace.data());
    kernel.input_gradient(dy.data(), w.data(), nullptr, dx.data(), workspace.data());
    kernel.weight_gradient(view(), dy.data(), false, dw.data(), db.data(), workspace.data());
  }
};

struct Reference {
  Doubles y, dx, dw, db;

  template <typename Kernel>
  explicit Reference(const Case<Kernel>& c)
      : y(c.y.size()), dx(c.dx.size()), dw(c.dw.size()), db(c.db.size()) {
    convolution_reference(c.shape, c.x.data(), c.w.data(), c.bias.data(), y.data());
    convolution_input_gradient_reference(c.shape, c.dy.data(), c.w.data(), dx.data());
    convolution_weight_gradient_reference(c.shape, c.x.data(), c.dy.data(), dw.data(), db.data());
  }
};

double rms(const Doubles& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum / static_cast<double>(values.size()));
}

template <typename Values>
double rms_error(const Values& actual, const Doubles& expected) {
  Doubles errors(expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) errors[i] = actual[i] - expected[i];
  return rms(errors);
}

/// 1e-5 of the values' size: 84 units of float32's round-off.
template <typename Values>
void expect_close(const Values& actual, const Doubles& expected, const char* what) {
  EXPECT_LE(rms_error(actual, expected), 1e-5 * rms(expected)) << what;
  const double scale = rms(expected);
  for (std::size_t i = 0; i < expected.size(); ++i)
    ASSERT_NEAR(actual[i], expected[i], 2e-4 * scale + 1e-12) << what << ", element " << i;
}

TEST(ToomCook, ComputesAFilterExactlyEnough) {
  using F = ToomCook<5, 3>;
  constexpr auto bt = F::input();
  constexpr auto g = F::filter();
  constexpr auto at = F::output();
  const double d[7] = {1, -2, 3, 0.5, 4, -1, 2}, taps[3] = {2, -1, 0.5};
  double product[7];
  for (int j = 0; j < 7; ++j) {
    double input = 0, filter = 0;
    for (int i = 0; i < 7; ++i) input += bt.at[j][i] * d[i];
    for (int i = 0; i < 3; ++i) filter += g.at[j][i] * taps[i];
    product[j] = input * filter;
  }
  for (int i = 0; i < 5; ++i) {
    double y = 0;
    for (int j = 0; j < 7; ++j) y += at.at[i][j] * product[j];
    EXPECT_NEAR(y, d[i] * taps[0] + d[i + 1] * taps[1] + d[i + 2] * taps[2], 1e-12);
  }
}

TEST(ConvolutionReference, KnownValues) {
  // 1 2 3 / 4 5 6 / 7 8 9 by the cross of ones, and by dilated corners
  const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, cross[] = {0, 1, 0, 1, 1, 1, 0, 1, 0};
  const float corners[] = {1, 1, 1, 1}, bias = 0.5F;
  double y[9];
  convolution_reference(square(1, 3, 1, 1, 3, 1), x, cross, &bias, y);
  EXPECT_EQ(y[4], 2 + 4 + 5 + 6 + 8 + 0.5);
  EXPECT_EQ(y[0], 1 + 2 + 4 + 0.5);
  ConvolutionShape dilated = square(1, 3, 1, 1, 2, 0);
  dilated.dilation_y = dilated.dilation_x = 2;
  convolution_reference(dilated, x, corners, nullptr, y);
  EXPECT_EQ(y[0], 1 + 3 + 7 + 9);
}

TEST(ConvolutionReference, GroupsSeeTheirChannelsAlone) {
  ConvolutionShape grouped = square(1, 1, 2, 2, 1, 0);
  grouped.groups = 2;
  const float x[] = {3, 5}, w[] = {10, 100};
  double y[2];
  convolution_reference(grouped, x, w, nullptr, y);
  EXPECT_EQ(y[0], 30);
  EXPECT_EQ(y[1], 500);
}

TEST(ConvolutionReference, GradientsAreTheSlopesOfAProduct) {
  // <y(x, w), dy> is linear in x and in w: it equals <x, dx> and <w, dw>
  for (ConvolutionShape shape : {square(2, 7, 4, 6, 3, 1, 2), square(1, 9, 4, 2, 3, 1)}) {
    shape.groups = 2;
    shape.dilation_y = 2;
    const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
    std::vector<float> x(size(shape.n * shape.height * shape.width * shape.channels));
    std::vector<float> w(size(shape.filters * shape.channels / 2 * 9));
    std::vector<float> dy(size(shape.n * shape.out_height() * shape.out_width() * shape.filters));
    fill(x, 1);
    fill(w, 2);
    fill(dy, 3);
    Doubles y(dy.size()), dx(x.size()), dw(w.size());
    convolution_reference(shape, x.data(), w.data(), nullptr, y.data());
    convolution_input_gradient_reference(shape, dy.data(), w.data(), dx.data());
    convolution_weight_gradient_reference(shape, x.data(), dy.data(), dw.data(), nullptr);
    double by_y = 0, by_x = 0, by_w = 0;
    for (std::size_t i = 0; i < y.size(); ++i) by_y += y[i] * dy[i];
    for (std::size_t i = 0; i < x.size(); ++i) by_x += dx[i] * x[i];
    for (std::size_t i = 0; i < w.size(); ++i) by_w += dw[i] * w[i];
    EXPECT_NEAR(by_x, by_y, 1e-9 * std::abs(by_y));
    EXPECT_NEAR(by_w, by_y, 1e-9 * std::abs(by_y));
  }
}

template <typename Kernel>
class Convolution : public ::testing::Test {
 public:
  static std::vector<ConvolutionShape> all_shapes() {
    std::vector<ConvolutionShape> all = shapes();
    if (std::is_same_v<Kernel, DirectConvolution>) {
      for (const ConvolutionShape& odd : odd_shapes()) all.push_back(odd);
    }
    return all;
  }
};
using Kernels = ::testing::Types<DirectConvolution, Winograd>;
TYPED_TEST_SUITE(Convolution, Kernels);

/// With a relu behind, and with the one that made x (stride 1), whose gradient goes where x was.
template <typename Kernel>
void expect_relus(Case<Kernel>& c, Reference expected) {
  for (double& value : expected.y) value = std::max(value, 0.0);
  c.run(/*relu=*/true);
  expect_close(c.y, expected.y, "clamped y");
  if (c.shape.stride_y > 1 || c.shape.stride_x > 1) return;
  for (std::size_t i = 0; i < c.x.size(); ++i)
    if (c.x[i] == 0) expected.dx[i] = 0;
  c.kernel.input_gradient(c.dy.data(), c.w.data(), c.x.data(), c.dx.data(), c.workspace.data());
  expect_close(c.dx, expected.dx, "masked dx");
  c.kernel.input_gradient(c.dy.data(), c.w.data(), c.x.data(), c.x.data(), c.workspace.data());
  expect_close(c.x, expected.dx, "dx over x");
}

/// All passes of all shapes.
template <typename Kernel>
void expect_the_reference(const std::vector<ConvolutionShape>& all) {
  for (const ConvolutionShape& shape : all)
    for (const Edge edge : {Edge::begin, Edge::end}) {
      SCOPED_TRACE(name_of(shape));
      Case<Kernel> c(shape, edge);
      c.run();
      const Reference expected(c);
      expect_close(c.y, expected.y, "y");
      expect_close(c.dx, expected.dx, "dx");
      expect_close(c.dw, expected.dw, "dw");
      expect_close(c.db, expected.db, "db");
      expect_relus(c, expected);
    }
}

TYPED_TEST(Convolution, EqualsTheReference) { expect_the_reference<TypeParam>(this->all_shapes()); }

TYPED_TEST(Convolution, EqualsTheReferenceWithWhatEveryMachineHas) {
  hwy::SetSupportedTargetsForTest(HWY_STATIC_TARGET);
  expect_the_reference<TypeParam>(this->all_shapes());
  hwy::SetSupportedTargetsForTest(0);
}

TYPED_TEST(Convolution, ClampingKeepsWhatIsNoNumber) {
  Case<TypeParam> c(square(1, 5, 3, 19, 3, 1));
  c.bias[18] = NAN;
  c.run(/*relu=*/true);
  for (std::size_t i = 0; i < c.y.size(); ++i) EXPECT_EQ(std::isnan(c.y[i]), i % 19 == 18) << i;
}

TYPED_TEST(Convolution, AddsToTheWeightGradient) {
  for (const ConvolutionShape& shape : {square(2, 13, 3, 5, 3, 1), square(2, 41, 3, 8, 11, 2, 4)}) {
    Case<TypeParam> c(shape);
    c.run();
    c.kernel.weight_gradient(c.view(), c.dy.data(), true, c.dw.data(), c.db.data(),
                             c.workspace.data());
    Reference expected(c);
    for (double& value : expected.dw) value *= 2;
    for (double& value : expected.db) value *= 2;
    expect_close(c.dw, expected.dw, "dw");
    expect_close(c.db, expected.db, "db");
  }
}

TYPED_TEST(Convolution, ReadsAnyLayoutWhereItHasAStride) {
  Case<TypeParam> c(square(3, 41, 3, 8, 11, 2, 4));
  c.run();
  const ConvolutionShape& s = c.shape;
  std::vector<float> planes(c.x.size());
  const std::int64_t pixels = s.height * s.width;
  for (std::int64_t n = 0; n < s.n; ++n)
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel)
      for (std::int64_t k = 0; k < s.channels; ++k)
        planes[static_cast<std::size_t>((n * s.channels + k) * pixels + pixel)] =
            c.x[static_cast<std::size_t>((n * pixels + pixel) * s.channels + k)];
  std::vector<float> y(c.y.size());
  c.kernel.forward({planes.data(), s.channels * pixels, s.width, 1, pixels}, c.w.data(),
                   c.bias.data(), false, y.data(), c.workspace.data());
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(y[i], c.y[i]) << i;
}

TEST(DirectConvolution, TakesEveryConvolutionThatHasAnOutput) {
  EXPECT_FALSE(DirectConvolution::make(square(1, 2, 1, 1, 3, 0)).has_value());
  EXPECT_FALSE(
      DirectConvolution::make(square(1, 5, 1, 1, 1, 1)).has_value());  // windows of padding
  EXPECT_TRUE(DirectConvolution::make(square(1, 3, 1, 1, 3, 0)).has_value());
}

TEST(Winograd, IsNotOfferedWhereItDoesNotApply) {
  ConvolutionShape grouped = square(1, 9, 4, 4, 3, 1), dilated = grouped, uneven = grouped;
  grouped.groups = 2;
  dilated.dilation_y = 2;
  uneven.taps_x = 1;
  for (const ConvolutionShape& shape : {grouped, dilated, uneven, square(1, 9, 4, 4, 1, 0),
                                        square(1, 9, 4, 4, 7, 3), square(1, 2, 4, 4, 3, 0)})
    EXPECT_FALSE(Winograd::make(shape).has_value()) << name_of(shape);
}

/// The layers of AlexNet, fewer filters: at most ten times the rms error of a direct convolution.
TEST(Winograd, LosesLittle) {
  for (const ConvolutionShape& shape :
       {square(1, 13, 192, 384, 3, 1), square(1, 13, 384, 256, 3, 1), square(1, 27, 64, 192, 5, 2),
        square(1, 224, 3, 64, 11, 2, 4), square(1, 16, 192, 32, 3, 1),
        square(1, 8, 64, 32, 3, 1)}) {
    SCOPED_TRACE(name_of(shape));
    Case<Winograd> c(shape);
    Case<DirectConvolution> direct(shape);
    c.run();
    direct.run();
    const Reference expected(c);
    const double y = rms_error(c.y, expected.y) / rms_error(direct.y, expected.y);
    const double dx = rms_error(c.dx, expected.dx) / rms_error(direct.dx, expected.dx);
    const double dw = rms_error(c.dw, expected.dw) / rms_error(direct.dw, expected.dw);
    std::printf("%s: %.2f x fewer products, error y %.2f, dx %.2f, dw %.2f x the direct one's\n",
                name_of(shape).c_str(), c.kernel.saving(), y, dx, dw);
    for (const double ratio : {y, dx, dw}) EXPECT_LE(ratio, 10);
    EXPECT_GT(c.kernel.saving(), 1);
  }
}

/// What max pooling and a relu leave of a gradient: a direct convolution then sums few numbers and
/// is more exact, so the larger tiles would be too far from it.
TEST(Winograd, LosesLittleOfASparseGradient) {
  for (const ConvolutionShape& shape :
       {square(1, 13, 256, 64, 3, 1), square(1, 27, 64, 192, 5, 2), square(1, 55, 32, 64, 11, 5, 4),
        square(1, 16, 64, 192, 3, 1), square(4, 14, 6, 16, 5, 0), square(2, 8, 24, 40, 3, 1)}) {
    SCOPED_TRACE(name_of(shape));
    Case<Winograd> c(shape);
    Case<DirectConvolution> direct(shape);
    c.kernel = Winograd::make(shape, /*sparse_gradient=*/true).value();
    ASSERT_LE(static_cast<std::size_t>(c.kernel.workspace_floats()), c.workspace.size());
    for (std::size_t i = 0; i < c.dy.size(); ++i)
      if (i * 7 % 11 > 1) c.dy[i] = direct.dy[i] = 0;
    c.run();
    direct.run();
    const Reference expected(c);
    expect_close(c.y, expected.y, "y");
    expect_close(c.dx, expected.dx, "dx");
    expect_close(c.dw, expected.dw, "dw");
    const double ratio = rms_error(c.dx, expected.dx) / rms_error(direct.dx, expected.dx);
    std::printf("%s: error dx %.2f x the direct one's\n", name_of(shape).c_str(), ratio);
    EXPECT_LE(ratio, 10);
  }
}

}  // namespace
}  // namespace millrace::kernels
