// The reference against the formula, and the fast CPU version against the reference.

#include "kernels/softmax_cross_entropy/softmax_cross_entropy.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/kernels/softmax_cross_entropy_cases.hpp"

namespace millrace::kernels {
namespace {

using testing::Case;
using testing::cases;
using testing::expect_close;
using testing::name_of;
using testing::Output;
using testing::random_case;
using testing::run;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

using Version = SoftmaxCrossEntropyResult (*)(const float*, const std::int64_t*, std::int64_t,
                                              std::int64_t, float, float*);

TEST(SoftmaxCrossEntropyReference, KnownValues) {
  // softmax(0, log 3) = (1/4, 3/4)
  const Case c{1, 2, 1, {0.0F, std::log(3.0F)}, {0}};
  const Output output = run(softmax_cross_entropy_reference, c, 2.0F);
  EXPECT_NEAR(output.result.loss_sum, std::log(4.0), 1e-6);
  EXPECT_NEAR(output.gradient[0], 2 * (0.25 - 1), 1e-6);
  EXPECT_NEAR(output.gradient[1], 2 * 0.75, 1e-6);
  EXPECT_EQ(output.result.correct, 0);
}

TEST(SoftmaxCrossEntropyReference, GradientIsTheLossesSlope) {
  const Case c = random_case(3, 7, 1);
  const Output output = run(softmax_cross_entropy_reference, c, 1.0F);
  for (std::size_t i = 0; i < c.logits.size(); ++i) {
    const auto loss_at = [&](float step) {
      Case moved = c;
      moved.logits[i] += step;
      return run(softmax_cross_entropy_reference, moved, 1.0F).result.loss_sum;
    };
    constexpr float kStep = 1.0F / 256;
    EXPECT_NEAR(output.gradient[i], (loss_at(kStep) - loss_at(-kStep)) / (2 * kStep), 1e-4);
  }
}

/// What both CPU versions promise.
class SoftmaxCrossEntropy : public ::testing::TestWithParam<Version> {};

TEST_P(SoftmaxCrossEntropy, EqualsTheReference) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(name_of(c));
    for (const float scale : {1.0F, 1.0F / 64, -2.0F}) {
      expect_close(run(GetParam(), c, scale), run(softmax_cross_entropy_reference, c, scale),
                   scale);
    }
  }
}

TEST_P(SoftmaxCrossEntropy, GradientRowsSumToZero) {
  const Case c = random_case(3, 1000, 5);
  const Output output = run(GetParam(), c, 1.0F);
  for (std::int64_t i = 0; i < c.n; ++i) {
    double sum = 0;
    for (std::int64_t j = 0; j < c.k; ++j)
      sum += output.gradient[static_cast<std::size_t>(i * c.k + j)];
    EXPECT_NEAR(sum, 0, 1e-5);
  }
}

TEST_P(SoftmaxCrossEntropy, OneClassIsCertain) {
  const Output output = run(GetParam(), Case{2, 1, 1, {-1e4F, 1e4F}, {0, 0}}, 1.0F);
  EXPECT_EQ(output.result, (SoftmaxCrossEntropyResult{0, 2, -1}));
  EXPECT_EQ(output.gradient, (std::vector<float>{0, 0}));
}

TEST_P(SoftmaxCrossEntropy, NoRowsIsNothing) {
  EXPECT_EQ(GetParam()(nullptr, nullptr, 0, 10, 1.0F, nullptr), SoftmaxCrossEntropyResult{});
}

TEST_P(SoftmaxCrossEntropy, InPlaceAndWithoutGradientAreTheSame) {
  const Case c = random_case(5, 33, 3);
  const Output apart = run(GetParam(), c, 0.5F);
  std::vector<float> in_place = c.logits;
  EXPECT_EQ(GetParam()(in_place.data(), c.labels.data(), c.n, c.k, 0.5F, in_place.data()),
            apart.result);
  EXPECT_EQ(in_place, apart.gradient);
  EXPECT_EQ(GetParam()(c.logits.data(), c.labels.data(), c.n, c.k, 0.5F, nullptr), apart.result);
}

TEST_P(SoftmaxCrossEntropy, TheFirstOfEqualLargestCounts) {
  const Case c{2, 3, 1, {1, 4, 4, 1, 4, 4}, {1, 2}};
  EXPECT_EQ(run(GetParam(), c, 1.0F).result.correct, 1);
}

TEST_P(SoftmaxCrossEntropy, BadLabelsAreReportedAndTouchNothingElse) {
  Case c = random_case(4, 6, 1);
  c.labels[1] = 6;
  c.labels[2] = -1;
  const Output output = run(GetParam(), c, 1.0F);
  EXPECT_EQ(output.result.bad_row, 1);
  for (std::size_t i = 6; i < 18; ++i) EXPECT_EQ(output.gradient[i], 0.0F);
  const Case good{2, 6, 1, {}, {c.labels[0], c.labels[3]}};
  Case rest = good;
  rest.logits.assign(c.logits.begin(), c.logits.begin() + 6);
  rest.logits.insert(rest.logits.end(), c.logits.begin() + 18, c.logits.end());
  const Output expected = run(GetParam(), rest, 1.0F);
  EXPECT_DOUBLE_EQ(output.result.loss_sum, expected.result.loss_sum);
  EXPECT_EQ(output.result.correct, expected.result.correct);
}

TEST_P(SoftmaxCrossEntropy, LogitsThatAreNotFiniteAreNotHidden) {
  for (const float bad : {kNaN, kInfinity}) {
    Case c = random_case(2, 9, 1);
    c.logits[4] = bad;
    EXPECT_FALSE(std::isfinite(run(GetParam(), c, 1.0F).result.loss_sum)) << bad;
  }
}

TEST_P(SoftmaxCrossEntropy, ARowWithWhatIsNoNumberIsNotCorrect) {
  const Case c{3, 3, 1, {1, 4, kNaN, kNaN, 4, 1, kNaN, 4, 1}, {1, 1, 0}};
  EXPECT_EQ(run(GetParam(), c, 1.0F).result.correct, 0);
}

TEST_P(SoftmaxCrossEntropy, AnImpossibleClassIsLegal) {
  const Case c{1, 3, 1, {0, -kInfinity, 0}, {0}};
  const Output output = run(GetParam(), c, 1.0F);
  EXPECT_NEAR(output.result.loss_sum, std::log(2.0), 1e-6);
  EXPECT_EQ(output.gradient[1], 0.0F);
}

INSTANTIATE_TEST_SUITE_P(Cpu, SoftmaxCrossEntropy,
                         ::testing::Values(softmax_cross_entropy_reference,
                                           softmax_cross_entropy_cpu),
                         [](const auto& version) {
                           return version.index == 0 ? "Reference" : "Fast";
                         });

}  // namespace
}  // namespace millrace::kernels
