#include <algorithm>
#include <cmath>

#include "kernels/softmax_cross_entropy/softmax_cross_entropy.hpp"
#include "kernels/softmax_row.hpp"

namespace millrace::kernels {
namespace {

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
    result.correct += first_largest && !std::isnan(sum) ? 1 : 0;
    if (gradient != nullptr) {
      scale_by(gradient, k, scale / sum);
      gradient[label] -= scale;
    }
  }
  return result;
}

}  // namespace millrace::kernels
