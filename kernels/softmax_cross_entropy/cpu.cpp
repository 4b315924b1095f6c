#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/softmax_cross_entropy/softmax_cross_entropy.hpp"

namespace millrace::kernels {
namespace {

/// exp(x) for x <= 0, branch-free so that loops over it vectorise; relative error below 2e-7, 0
/// instead of results below 1.2e-38, NaN for NaN. The polynomial is Cephes' expf (S. Moshier).
inline float exp_nonpositive(float x) {
  constexpr float kLog2E = 1.44269504F;
  constexpr float kLn2High = 0.693359375F, kLn2Low = -2.12194440e-4F;
  constexpr float kLowest = -87.3F;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  const float clamped = x < kLowest ? kLowest : x;
  const float shifted = clamped * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = clamped - n * kLn2High - n * kLn2Low;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  // The low bits of `shifted` hold n: moved into the exponent they make 2^n.
  const auto exponent = (std::bit_cast<std::uint32_t>(shifted) + 127U) << 23U;
  return x < kLowest ? 0.0F : p * std::bit_cast<float>(exponent);
}

float maximum_of(const float* row, std::int64_t k) {
  float maximum = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : maximum)
  for (std::int64_t j = 0; j < k; ++j) maximum = std::max(maximum, row[j]);
  return maximum;
}

float sum_of_exponentials(const float* row, std::int64_t k, float maximum) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t j = 0; j < k; ++j) sum += exp_nonpositive(row[j] - maximum);
  return sum;
}

/// The same, the exponentials kept in `out` (which may be the row).
float store_exponentials(const float* row, std::int64_t k, float maximum, float* out) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t j = 0; j < k; ++j) {
    out[j] = exp_nonpositive(row[j] - maximum);
    sum += out[j];
  }
  return sum;
}

void scale_by(float* values, std::int64_t k, float factor) {
#pragma omp simd
  for (std::int64_t j = 0; j < k; ++j) values[j] *= factor;
}

}  // namespace

SoftmaxCrossEntropyResult softmax_cross_entropy_cpu(const float* logits, const std::int64_t* labels,
                                                    std::int64_t n, std::int64_t k, float scale,
                                                    float* d_logits) {
  SoftmaxCrossEntropyResult result;
  for (std::int64_t i = 0; i < n; ++i) {
    const float* const row = logits + i * k;
    float* const gradient = d_logits == nullptr ? nullptr : d_logits + i * k;
    const std::int64_t label = labels[i];
    if (label < 0 || label >= k) {
      if (result.bad_row < 0) result.bad_row = i;
      if (gradient != nullptr) std::fill_n(gradient, k, 0.0F);
      continue;
    }
    const float maximum = maximum_of(row, k);
    const float target = row[label];  // read before the row is written in place
    const bool first_largest =
        target == maximum && std::find(row, row + label, maximum) == row + label;
    const float sum = gradient == nullptr ? sum_of_exponentials(row, k, maximum)
                                          : store_exponentials(row, k, maximum, gradient);
    result.loss_sum += std::log(static_cast<double>(sum)) + maximum - target;
    result.correct += first_largest ? 1 : 0;
    if (gradient != nullptr) {
      scale_by(gradient, k, scale / sum);
      gradient[label] -= scale;
    }
  }
  return result;
}

}  // namespace millrace::kernels
