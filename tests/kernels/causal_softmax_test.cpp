// The reference against the formula, and the fast version against the reference.

#include "kernels/causal_softmax/causal_softmax.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace millrace::kernels {
namespace {

std::vector<float> numbers(std::int64_t n, unsigned seed, float spread) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> result(static_cast<std::size_t>(n * n));
  for (float& value : result) value = normal(random);
  return result;
}

TEST(CausalSoftmaxReference, KnownValues) {
  std::vector<float> scores = {5, 9, std::log(3.0F) * 2, 0};
  causal_softmax_reference(scores.data(), 2, 0.5F);
  EXPECT_NEAR(scores[0], 1, 1e-6);
  EXPECT_EQ(scores[1], 0);
  EXPECT_NEAR(scores[2], 0.75, 1e-6);
  EXPECT_NEAR(scores[3], 0.25, 1e-6);
}

TEST(CausalSoftmaxReference, GradientIsTheSlope) {
  constexpr std::int64_t n = 5;
  constexpr float kScale = 0.7F, kStep = 1.0F / 256;
  const std::vector<float> scores = numbers(n, 1, 1), along = numbers(n, 2, 1);
  const auto value = [&](std::vector<float> moved) {
    causal_softmax_reference(moved.data(), n, kScale);
    double sum = 0;
    for (std::size_t i = 0; i < moved.size(); ++i) sum += moved[i] * along[i];
    return sum;
  };
  std::vector<float> shares = scores, gradient = along;
  causal_softmax_reference(shares.data(), n, kScale);
  causal_softmax_gradient_reference(shares.data(), gradient.data(), n, kScale);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    std::vector<float> more = scores, less = scores;
    more[i] += kStep;
    less[i] -= kStep;
    EXPECT_NEAR(gradient[i], (value(more) - value(less)) / (2 * kStep), 1e-4) << i;
  }
}

TEST(CausalSoftmax, EqualsTheReference) {
  for (const std::int64_t n : {0, 1, 2, 7, 8, 9, 64, 129}) {
    for (const float spread : {0.1F, 1.0F, 60.0F}) {
      std::vector<float> expected = numbers(n, 3, spread), shares = expected;
      causal_softmax_reference(expected.data(), n, 0.3F);
      causal_softmax_cpu(shares.data(), n, 0.3F);
      std::vector<float> slopes = numbers(n, 4, 1), gradient = slopes;
      causal_softmax_gradient_reference(expected.data(), slopes.data(), n, 0.3F);
      causal_softmax_gradient_cpu(expected.data(), gradient.data(), n, 0.3F);
      for (std::size_t i = 0; i < shares.size(); ++i) {
        ASSERT_NEAR(shares[i], expected[i], 1e-6F * expected[i] + 1e-12F) << n << " " << i;
        ASSERT_NEAR(gradient[i], slopes[i], 1e-6F) << n << " " << i;
      }
    }
  }
}

TEST(CausalSoftmax, ReadsNothingBehindTheDiagonal) {
  constexpr std::int64_t n = 9;
  std::vector<float> scores = numbers(n, 5, 1), others = scores;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = i + 1; j < n; ++j) others[static_cast<std::size_t>(i * n + j)] = NAN;
  causal_softmax_cpu(scores.data(), n, 1);
  causal_softmax_cpu(others.data(), n, 1);
  EXPECT_EQ(scores, others);
}

}  // namespace
}  // namespace millrace::kernels
