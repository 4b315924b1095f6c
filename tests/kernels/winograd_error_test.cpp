// Winograd's error against a direct convolution's.

#include <gtest/gtest.h>

#include <cstdio>

#include "kernels/convolution/direct.hpp"
#include "kernels/convolution/winograd.hpp"
#include "tests/kernels/convolution_cases.hpp"
#include "tests/kernels/precisions.hpp"

namespace millrace::kernels {
namespace {

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

/// Reference(c) of operands that were rounded to bfloat16: what a direct convolution of them gives.
Reference rounded_reference(const Case<Winograd>& c) {
  Case<Winograd> rounded(c.shape);
  const auto round = [](const Guarded<float>& from, Guarded<float>& to) {
    for (std::size_t i = 0; i < from.size(); ++i) to[i] = low_of_pair(pair_of(from[i], 0));
  };
  round(c.x, rounded.x);
  round(c.w, rounded.w);
  round(c.dy, rounded.dy);
  return Reference(rounded);
}

double ratio_of_errors(const Guarded<float>& values, const Doubles& direct,
                       const Doubles& expected) {
  return rms_error(values, expected) / rms_error(direct, expected);
}

/// With products of bfloat16: at most ten times the rms error of a direct convolution with them.
void expect_little_loss_in_bf16(const ConvolutionShape& shape) {
  SCOPED_TRACE(name_of(shape));
  const auto kernel = Winograd::make(shape, /*sparse_gradient=*/false, Precision::bf16);
  if (!kernel) return;  // no fewer products with the tiles that are exact enough
  Case<Winograd> c(shape, Edge::end, kernel);
  c.run();
  const Reference expected(c), direct = rounded_reference(c);
  const double y = ratio_of_errors(c.y, direct.y, expected.y);
  const double dx = ratio_of_errors(c.dx, direct.dx, expected.dx);
  const double dw = ratio_of_errors(c.dw, direct.dw, expected.dw);
  std::printf("%s, bf16: error y %.2f, dx %.2f, dw %.2f x the direct one's\n",
              name_of(shape).c_str(), y, dx, dw);
  const double most = c.y.size() > 100 ? 10 : 20;  // of few numbers: luck
  for (const double ratio : {y, dx, dw}) EXPECT_LE(ratio, most);
  EXPECT_LE(rms_error(c.db, expected.db), 0x1p-8 * rms(expected.db));
}

TEST(Winograd, LosesLittleInBfloat16) {
  if (!computes(Precision::bf16)) GTEST_SKIP() << "this CPU has AVX-512, but not AVX512-BF16";
  for (const ConvolutionShape& shape : shapes()) expect_little_loss_in_bf16(shape);
  expect_little_loss_in_bf16(square(1, 13, 192, 96, 3, 1));
  expect_little_loss_in_bf16(square(1, 27, 64, 48, 5, 2));
}

TEST(Winograd, LosesLittleInBfloat16WithWhatEveryMachineHas) {
  hwy::SetSupportedTargetsForTest(HWY_STATIC_TARGET);
  for (const ConvolutionShape& shape : shapes()) expect_little_loss_in_bf16(shape);
  hwy::SetSupportedTargetsForTest(0);
}

}  // namespace
}  // namespace millrace::kernels
