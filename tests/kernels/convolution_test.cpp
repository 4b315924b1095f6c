// The convolutions against the reference in double.

#include "kernels/convolution/convolution.hpp"

#include <gtest/gtest.h>
#include <hwy/targets.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <type_traits>
#include <vector>

#include "kernels/convolution/direct.hpp"
#include "kernels/convolution/toom_cook.hpp"
#include "kernels/convolution/winograd.hpp"
#include "tests/kernels/convolution_cases.hpp"
#include "tests/kernels/few_filters_cases.hpp"

namespace millrace::kernels {
namespace {

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
      for (const ConvolutionShape& few : few_filters()) all.push_back(few);
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

/// All passes; c has run.
template <typename Kernel>
void expect_all(const Case<Kernel>& c, const Reference& expected) {
  expect_close(c.y, expected.y, "y");
  expect_close(c.dx, expected.dx, "dx");
  expect_close(c.dw, expected.dw, "dw");
  expect_close(c.db, expected.db, "db");
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
      expect_all(c, expected);
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

TYPED_TEST(Convolution, TheGradientPassesWhereTheReluGaveNoNumber) {
  Case<TypeParam> c(square(3, 6, 17, 33, 3, 0));
  c.run();
  const std::vector<float> unmasked(c.dx.begin(), c.dx.end());
  for (std::size_t i = 0; i < c.x.size(); i += 2) c.x[i] = NAN;
  c.kernel.input_gradient(c.dy.data(), c.w.data(), c.x.data(), c.dx.data(), c.workspace.data());
  for (std::size_t i = 0; i < c.dx.size(); ++i)
    ASSERT_NEAR(c.dx[i], c.x[i] <= 0 ? 0 : unmasked[i], 1e-4) << i;
}

TYPED_TEST(Convolution, AddsToTheWeightGradient) {
  for (const ConvolutionShape& shape :
       {square(2, 13, 3, 5, 3, 1), square(2, 41, 3, 8, 11, 2, 4), square(5, 13, 254, 262, 3, 1)}) {
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

/// y does not depend on the order that x lies in.
template <typename Kernel>
void expect_any_layout(const ConvolutionShape& shape) {
  Case<Kernel> c(shape);
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

TYPED_TEST(Convolution, ReadsAnyLayoutWhereItHasAStride) {
  expect_any_layout<TypeParam>(square(3, 41, 3, 8, 11, 2, 4));
}

TEST(DirectConvolution, ReadsAnyLayout) {
  for (const ConvolutionShape& shape : {square(3, 11, 3, 19, 3, 1), square(2, 31, 3, 4, 5, 2)})
    expect_any_layout<DirectConvolution>(shape);
}

TEST(DirectConvolution, EqualsTheReferenceWithVectorsOfEight) {
  if ((hwy::SupportedTargets() & HWY_AVX2) == 0) GTEST_SKIP() << "this CPU has no AVX2";
  hwy::SetSupportedTargetsForTest(HWY_AVX2);
  expect_the_reference<DirectConvolution>(few_filters());
  hwy::SetSupportedTargetsForTest(0);
}

/// The team of this thread as it was, at the end.
struct TeamKept {
  ~TeamKept() { omp_set_num_threads(threads); }
  const int threads = omp_get_max_threads();
};

/// c of `shape`, run on a team of so many.
template <typename Kernel>
std::unique_ptr<Case<Kernel>> run_on(int team, const ConvolutionShape& shape) {
  omp_set_num_threads(team);
  auto c = std::make_unique<Case<Kernel>>(shape);
  c->run();
  return c;
}

void expect_same(const Guarded<float>& a, const Guarded<float>& b, const char* what) {
  EXPECT_TRUE(std::equal(a.data(), a.data() + a.size(), b.data(), b.data() + b.size())) << what;
}

TEST(DirectConvolution, GivesTheSameBitsForAnyTeam) {
  const TeamKept kept;
  for (const ConvolutionShape& shape : {square(9, 28, 1, 6, 5, 2), square(5, 14, 6, 16, 5, 0),
                                        square(3, 301, 1, 2, 3, 1), square(3, 12, 5, 40, 3, 1)}) {
    SCOPED_TRACE(name_of(shape));
    const auto alone = run_on<DirectConvolution>(1, shape);
    for (const int team : {2, 3}) {
      const auto c = run_on<DirectConvolution>(team, shape);
      expect_same(c->y, alone->y, "y");
      expect_same(c->dx, alone->dx, "dx");
      expect_same(c->dw, alone->dw, "dw");
      expect_same(c->db, alone->db, "db");
    }
  }
}

TEST(DirectConvolution, TakesEveryConvolutionThatHasAnOutput) {
  EXPECT_FALSE(DirectConvolution::make(square(1, 2, 1, 1, 3, 0)).has_value());
  EXPECT_FALSE(
      DirectConvolution::make(square(1, 5, 1, 1, 1, 1)).has_value());  // windows of padding
  EXPECT_TRUE(DirectConvolution::make(square(1, 3, 1, 1, 3, 0)).has_value());
}

/// The tiles of the first are fewer to a block on one thread, those of the others on any team; the
/// last's weights are transformed in parts.
TEST(Winograd, GivesTheSameImagesOnAnyTeamAndTheSameGradientsOnLargerOnes) {
  const TeamKept kept;
  for (const ConvolutionShape& shape :
       {square(9, 28, 5, 20, 5, 2), square(12, 13, 99, 200, 3, 1), square(5, 13, 254, 262, 3, 1)}) {
    SCOPED_TRACE(name_of(shape));
    const auto alone = run_on<Winograd>(1, shape), two = run_on<Winograd>(2, shape);
    const auto three = run_on<Winograd>(3, shape);
    const Reference expected(*alone);
    expect_all(*alone, expected);
    expect_all(*two, expected);
    expect_same(two->y, alone->y, "y");
    expect_same(two->dx, alone->dx, "dx");
    expect_same(three->y, alone->y, "y of three");
    expect_same(three->dx, alone->dx, "dx of three");
    expect_same(three->dw, two->dw, "dw");
    expect_same(three->db, two->db, "db");
  }
}

TEST(Winograd, KeepsAPartOfLargeTransformedWeights) {
  const std::int64_t weights = 7 * 7 * 384 * 256;
  const auto floats = Winograd::make(square(32, 13, 384, 256, 3, 1)).value().workspace_floats();
  EXPECT_GT(floats, weights / 3);
  EXPECT_LT(floats, weights * 2 / 3);
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

}  // namespace
}  // namespace millrace::kernels
