#include "kernels/optimizer/optimizer.hpp"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "tests/kernels/guarded.hpp"

namespace millrace::kernels {
namespace {

using testing::Edge;
using GuardedFloats = testing::Guarded<float>;

/// Elements as a step finds them: weights, two states (the second is not negative), gradients.
struct Elements {
  Elements(std::int64_t count, Edge guard)
      : n(count), w(n, guard), a(n, guard), b(n, guard), gradient(n, guard) {
    std::minstd_rand random(3);
    std::normal_distribution<float> normal;
    for (std::int64_t i = 0; i < n; ++i)
      for (float* data : {w.data(), a.data(), b.data(), gradient.data()}) data[i] = normal(random);
    for (std::int64_t i = 0; i < n; ++i) b.data()[i] = std::abs(b.data()[i]);
  }

  void expect_near(const Elements& other) const {
    for (std::int64_t i = 0; i < n; ++i) {
      ASSERT_NEAR(w.data()[i], other.w.data()[i], 5e-7) << i;
      ASSERT_NEAR(a.data()[i], other.a.data()[i], 5e-7) << i;
      ASSERT_NEAR(b.data()[i], other.b.data()[i], 5e-7) << i;
    }
  }

  std::int64_t n;
  GuardedFloats w, a, b, gradient;
};

class Optimizer : public ::testing::TestWithParam<std::int64_t> {
 protected:
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }

  /// Both steps on the same elements, with the machine's best instructions and the baseline's.
  template <typename Fast, typename Reference>
  void expect_same(const Fast& fast, const Reference& reference) const {
    for (const std::int64_t targets : {std::int64_t{0}, std::int64_t{HWY_STATIC_TARGET}})
      for (const Edge guard : {Edge::begin, Edge::end}) {
        hwy::SetSupportedTargetsForTest(targets);
        Elements actual(GetParam(), guard), expected(GetParam(), guard);
        fast(actual);
        reference(expected);
        actual.expect_near(expected);
      }
  }
};

TEST_P(Optimizer, SgdIsTheReference) {
  for (const bool nesterov : {false, true})
    for (const bool keeps : {false, true}) {
      const SgdFactors factors{0.1F, 0.9F, 0.05F, 0.5F, nesterov && keeps};
      expect_same(
          [&](Elements& e) {
            sgd_cpu(factors, e.w.data(), keeps ? e.a.data() : nullptr, e.gradient.data(), e.n);
          },
          [&](Elements& e) {
            sgd_reference(factors, e.w.data(), keeps ? e.a.data() : nullptr, e.gradient.data(),
                          e.n);
          });
    }
}

TEST_P(Optimizer, AdamWIsTheReference) {
  const AdamWFactors factors{0.99F, 0.9F, 0.1F, 0.99F, 0.01F, 1e-6F, 0.01F, 0.3F, 0.5F};
  expect_same(
      [&](Elements& e) {
        adamw_cpu(factors, e.w.data(), e.a.data(), e.b.data(), e.gradient.data(), e.n);
      },
      [&](Elements& e) {
        adamw_reference(factors, e.w.data(), e.a.data(), e.b.data(), e.gradient.data(), e.n);
      });
}

TEST(OptimizerElements, TheirPlaceDoesNotMatter) {
  Elements whole(1000, Edge::end), parts(1000, Edge::end);
  const SgdFactors factors{0.1F, 0.9F, 0.05F, 0.5F, true};
  sgd_cpu(factors, whole.w.data(), whole.a.data(), whole.gradient.data(), 1000);
  for (std::int64_t begin = 0, size = 1; begin < 1000; begin += size, ++size)
    sgd_cpu(factors, parts.w.data() + begin, parts.a.data() + begin, parts.gradient.data() + begin,
            std::min<std::int64_t>(size, 1000 - begin));
  EXPECT_TRUE(std::equal(whole.w.data(), whole.w.data() + 1000, parts.w.data()));
  EXPECT_TRUE(std::equal(whole.a.data(), whole.a.data() + 1000, parts.a.data()));
}

INSTANTIATE_TEST_SUITE_P(Sizes, Optimizer, ::testing::Values(1, 2, 7, 16, 37, 1000));

}  // namespace
}  // namespace millrace::kernels
