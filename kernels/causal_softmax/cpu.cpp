#include <algorithm>

#include "kernels/causal_softmax/causal_softmax.hpp"
#include "kernels/softmax_row.hpp"

namespace millrace::kernels {
namespace {

/// The first `count` become their softmax, the others of n 0.
void softmax_row(float* row, std::int64_t count, std::int64_t n, float scale) {
  const float maximum = maximum_of(row, count);
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t j = 0; j < count; ++j) {
    row[j] = exp_nonpositive(scale * (row[j] - maximum));
    sum += row[j];
  }
  const float factor = 1 / sum;
#pragma omp simd
  for (std::int64_t j = 0; j < count; ++j) row[j] *= factor;
  std::fill(row + count, row + n, 0.0F);
}

void gradient_row(const float* share, float* row, std::int64_t count, std::int64_t n, float scale) {
  float mean = 0;
#pragma omp simd reduction(+ : mean)
  for (std::int64_t j = 0; j < count; ++j) mean += share[j] * row[j];
#pragma omp simd
  for (std::int64_t j = 0; j < count; ++j) row[j] = scale * share[j] * (row[j] - mean);
  std::fill(row + count, row + n, 0.0F);
}

}  // namespace

void causal_softmax_cpu(float* scores, std::int64_t n, float scale) {
  for (std::int64_t i = 0; i < n; ++i) softmax_row(scores + i * n, i + 1, n, scale);
}

void causal_softmax_gradient_cpu(const float* shares, float* gradient, std::int64_t n,
                                 float scale) {
  for (std::int64_t i = 0; i < n; ++i)
    gradient_row(shares + i * n, gradient + i * n, i + 1, n, scale);
}

}  // namespace millrace::kernels
