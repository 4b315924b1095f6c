#pragma once
// What the softmax kernels share.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

namespace millrace::kernels {

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

inline float maximum_of(const float* row, std::int64_t k) {
  float maximum = -std::numeric_limits<float>::infinity();
#pragma omp simd reduction(max : maximum)
  for (std::int64_t j = 0; j < k; ++j) maximum = std::max(maximum, row[j]);
  return maximum;
}

}  // namespace millrace::kernels
