#pragma once
// Inputs and comparison that the tests of all versions of the kernel share.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/softmax_cross_entropy/softmax_cross_entropy.hpp"

namespace millrace::kernels::testing {

struct Case {
  std::int64_t n = 1;
  std::int64_t k = 1;
  float magnitude = 1;  ///< of the logits
  std::vector<float> logits;
  std::vector<std::int64_t> labels;
};

inline Case random_case(std::int64_t n, std::int64_t k, float magnitude) {
  std::mt19937_64 random(static_cast<std::uint64_t>(n * 10007 + k));
  std::normal_distribution<float> normal;
  Case result{n, k, magnitude, {}, {}};
  for (std::int64_t i = 0; i < n * k; ++i) result.logits.push_back(magnitude * normal(random));
  for (std::int64_t i = 0; i < n; ++i) {
    result.labels.push_back(static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(k)));
  }
  return result;
}

/// One class, one row, vector lengths and their neighbours, large logits.
inline std::vector<Case> cases() {
  std::vector<Case> result;
  for (const auto& [n, k] : std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1},
                                                                               {5, 1},
                                                                               {1, 2},
                                                                               {7, 3},
                                                                               {1, 10},
                                                                               {64, 10},
                                                                               {2, 31},
                                                                               {3, 64},
                                                                               {4, 65},
                                                                               {3, 1000}}) {
    for (const float magnitude : {0.0F, 1.0F, 30.0F, 1e4F}) {
      result.push_back(random_case(n, k, magnitude));
    }
  }
  return result;
}

inline std::string name_of(const Case& c) {
  return std::to_string(c.n) + " x " + std::to_string(c.k) + ", logits of about " +
         std::to_string(c.magnitude);
}

struct Output {
  SoftmaxCrossEntropyResult result;
  std::vector<float> gradient;
};

/// Runs any version with the plain signature; the gradient starts as garbage.
template <typename Version>
Output run(const Version& version, const Case& c, float scale) {
  Output output{{}, std::vector<float>(c.logits.size(), 777.0F)};
  output.result =
      version(c.logits.data(), c.labels.data(), c.n, c.k, scale, output.gradient.data());
  return output;
}

/// The header's promise: 1e-5 of a gradient entry's scale, loss to float32 round-off.
inline void expect_close(const Output& actual, const Output& expected, float scale) {
  EXPECT_EQ(actual.result.correct, expected.result.correct);
  EXPECT_EQ(actual.result.bad_row, expected.result.bad_row);
  EXPECT_NEAR(actual.result.loss_sum, expected.result.loss_sum,
              1e-5 * (1 + std::abs(expected.result.loss_sum)));
  for (std::size_t i = 0; i < expected.gradient.size(); ++i) {
    ASSERT_NEAR(actual.gradient[i], expected.gradient[i], 1e-5 * std::abs(scale)) << "entry " << i;
  }
}

}  // namespace millrace::kernels::testing
