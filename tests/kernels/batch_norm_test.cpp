#include "kernels/batch_norm/batch_norm.hpp"

#include <gtest/gtest.h>
#include <hwy/targets.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <tuple>
#include <vector>

#include "tests/kernels/guarded.hpp"

namespace millrace::kernels {
namespace {

using testing::Edge;
using testing::Guarded;

constexpr float kMost = 0.7F;
constexpr double kEpsilon = std::numeric_limits<float>::epsilon();

/// Rows of random values around a mean per channel, with all that the passes take and give.
enum class Behind { nothing, relu, relu6 };

class BatchNorm : public ::testing::TestWithParam<std::tuple<int, int, Behind>> {
 protected:
  void SetUp() override {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    for (std::size_t i = 0; i < x_.size(); ++i) {
      x_[i] = 30 * static_cast<float>(i % channels_) + normal(random);
      dy_[i] = normal(random);
    }
    for (std::size_t c = 0; c < channels_; ++c) {
      scale_[c] = 0.5F + static_cast<float>(c % 5);
      shift_[c] = -30 * static_cast<float>(c) * scale_[c];  // about half of y is below 0
      mean_[c] = 30 * static_cast<float>(c) + 0.01F;
      for (Guarded<float>* factor : {&a_, &b_, &c_}) (*factor)[c] = normal(random);
    }
    for (std::size_t i = 0; i < x_.size(); ++i) keep_off_the_kinks(i);
  }

  /// Where y is cut off, round-off decides about whole gradients.
  void keep_off_the_kinks(std::size_t i) {
    const std::size_t c = i % channels_;
    const double y = double{x_[i]} * scale_[c] + shift_[c];
    if (std::fabs(y) < 0.05 || std::fabs(y - kMost) < 0.05) x_[i] += 0.3F;
  }
  void TearDown() override {
    hwy::SetSupportedTargetsForTest(0);
    omp_set_num_threads(1);
  }

  /// With the best instructions and the baseline's, one thread and three.
  template <typename Check>
  void for_each_version(const Check& check) {
    for (const std::int64_t targets : {std::int64_t{0}, std::int64_t{HWY_STATIC_TARGET}})
      for (const int threads : {1, 3}) {
        SCOPED_TRACE(::testing::Message() << targets << ", " << threads << " threads");
        hwy::SetSupportedTargetsForTest(targets);
        omp_set_num_threads(threads);
        check();
      }
  }

  /// `magnitude`: sum of the absolute summands.
  static void expect_sums(const std::vector<double>& sums, const std::vector<double>& expected,
                          const std::vector<double>& magnitude) {
    for (std::size_t c = 0; c < sums.size(); ++c)
      EXPECT_NEAR(sums[c], expected[c], 8 * kEpsilon * magnitude[c]) << c;
  }

  void expect_values(const Guarded<float>& values, const std::vector<float>& expected,
                     double magnitude) {
    for (std::size_t i = 0; i < expected.size(); ++i)
      ASSERT_NEAR(values[i], expected[i], 4 * kEpsilon * magnitude * (1 + 30.0 * channels_)) << i;
  }

  std::size_t rows_ = static_cast<std::size_t>(std::get<0>(GetParam()));
  std::size_t channels_ = static_cast<std::size_t>(std::get<1>(GetParam()));
  NormShape shape_{std::get<0>(GetParam()), std::get<1>(GetParam())};
  Guarded<float> x_{rows_ * channels_}, dy_{rows_ * channels_}, y_{rows_ * channels_};
  Guarded<float> scale_{channels_}, shift_{channels_}, mean_{channels_}, a_{channels_},
      b_{channels_}, c_{channels_};
  NormLine line_{
      scale_.data(), shift_.data(), std::get<2>(GetParam()) != Behind::nothing,
      std::get<2>(GetParam()) == Behind::relu6 ? 0.7F : std::numeric_limits<float>::infinity()};
};

TEST_P(BatchNorm, StatisticsAreTheReference) {
  std::vector<double> mean(channels_), deviations(channels_);
  norm_statistics_reference(shape_, x_.data(), mean.data(), deviations.data());
  for_each_version([&] {
    std::vector<double> own_mean(channels_), own_deviations(channels_);
    norm_statistics_cpu(shape_, x_.data(), own_mean.data(), own_deviations.data());
    for (std::size_t c = 0; c < channels_; ++c) {
      EXPECT_NEAR(own_mean[c], mean[c], 1e-6) << c;  // of deviations of about 1 around 30 c
      EXPECT_NEAR(own_deviations[c], deviations[c], 4e-6 * (1 + deviations[c])) << c;
    }
  });
}

TEST_P(BatchNorm, NormalisesAsTheReference) {
  std::vector<float> expected(x_.size());
  norm_reference(shape_, line_, x_.data(), expected.data());
  for_each_version([&] {
    norm_cpu(shape_, line_, x_.data(), y_.data());
    expect_values(y_, expected, 5);
  });
  norm_cpu(shape_, line_, x_.data(), x_.data());
  EXPECT_TRUE(std::equal(x_.begin(), x_.end(), y_.begin())) << "in place";
}

TEST_P(BatchNorm, GradientSumsAreTheReference) {
  std::vector<double> sum(channels_), product(channels_), most(channels_), most_product(channels_);
  norm_gradient_sums_reference(shape_, line_, mean_.data(), x_.data(), dy_.data(), sum.data(),
                               product.data());
  for (std::size_t i = 0; i < x_.size(); ++i) {
    most[i % channels_] += std::fabs(dy_[i]);
    most_product[i % channels_] += std::fabs(dy_[i] * (x_[i] - mean_[i % channels_]));
  }
  for_each_version([&] {
    std::vector<double> own_sum(channels_), own_product(channels_);
    norm_gradient_sums_cpu(shape_, line_, mean_.data(), x_.data(), dy_.data(), own_sum.data(),
                           own_product.data());
    expect_sums(own_sum, sum, most);
    expect_sums(own_product, product, most_product);
  });
}

TEST_P(BatchNorm, GradientIsTheReference) {
  const NormGradient gradient{a_.data(), b_.data(), c_.data(), mean_.data()};
  std::vector<float> expected(x_.size());
  norm_gradient_reference(shape_, line_, gradient, x_.data(), dy_.data(), expected.data());
  for_each_version([&] {
    norm_gradient_cpu(shape_, line_, gradient, x_.data(), dy_.data(), y_.data());
    expect_values(y_, expected, 10);
  });
  norm_gradient_cpu(shape_, line_, gradient, x_.data(), dy_.data(), dy_.data());
  EXPECT_TRUE(std::equal(dy_.begin(), dy_.end(), y_.begin())) << "over dy";
}

/// Rows of no number, infinity, -1 and 1 in every channel, whose gradients are 1, 2, 4 and 8.
TEST(BatchNormRelu, PassesWhatLibTorchPasses) {
  constexpr std::size_t kChannels = 17;
  const float values[] = {NAN, INFINITY, -1, 1}, gradients[] = {1, 2, 4, 8};
  std::vector<float> x, dy;
  for (std::size_t row = 0; row < 4; ++row) {
    x.insert(x.end(), kChannels, values[row]);
    dy.insert(dy.end(), kChannels, gradients[row]);
  }
  const std::vector<float> ones(kChannels, 1), zeros(kChannels, 0);
  const NormShape shape{4, kChannels};
  for (const float most : {INFINITY, 6.0F}) {
    const NormLine line{ones.data(), zeros.data(), true, most};
    const std::vector<double> expected(kChannels, most == 6 ? 1 + 8 : 1 + 2 + 8);
    std::vector<double> sum(kChannels), product(kChannels);
    norm_gradient_sums_reference(shape, line, zeros.data(), x.data(), dy.data(), sum.data(),
                                 product.data());
    EXPECT_EQ(sum, expected) << "reference, " << most;
    for (const std::int64_t targets : {std::int64_t{0}, std::int64_t{HWY_STATIC_TARGET}}) {
      hwy::SetSupportedTargetsForTest(targets);
      norm_gradient_sums_cpu(shape, line, zeros.data(), x.data(), dy.data(), sum.data(),
                             product.data());
      EXPECT_EQ(sum, expected) << targets << ", " << most;
    }
  }
  hwy::SetSupportedTargetsForTest(0);
}

TEST(BatchNormStatistics, KeepWhatIsNoNumber) {
  constexpr std::size_t kRows = 65, kChannels = 3;
  std::vector<float> x(kRows * kChannels, 1);
  x[10 * kChannels + 1] = NAN;
  for (const auto version : {norm_statistics_reference, norm_statistics_cpu}) {
    std::vector<double> mean(kChannels), deviations(kChannels);
    version({kRows, kChannels}, x.data(), mean.data(), deviations.data());
    for (std::size_t c = 0; c < kChannels; ++c) {
      EXPECT_EQ(std::isnan(mean[c]), c == 1) << c;
      EXPECT_EQ(std::isnan(deviations[c]), c == 1) << c;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, BatchNorm,
                         ::testing::Combine(::testing::Values(1, 2, 63, 65, 1000),
                                            ::testing::Values(1, 3, 8, 17, 64, 130),
                                            ::testing::Values(Behind::nothing, Behind::relu,
                                                              Behind::relu6)));

}  // namespace
}  // namespace millrace::kernels
