#include <algorithm>
#include <cmath>

#include "kernels/causal_softmax/causal_softmax.hpp"

namespace millrace::kernels {

void causal_softmax_reference(float* scores, std::int64_t n, float scale) {
  for (std::int64_t i = 0; i < n; ++i) {
    float* const row = scores + i * n;
    const double maximum = *std::max_element(row, row + i + 1);
    double sum = 0;
    for (std::int64_t j = 0; j <= i; ++j) sum += std::exp(scale * (row[j] - maximum));
    for (std::int64_t j = 0; j <= i; ++j)
      row[j] = static_cast<float>(std::exp(scale * (row[j] - maximum)) / sum);
    std::fill(row + i + 1, row + n, 0.0F);
  }
}

void causal_softmax_gradient_reference(const float* shares, float* gradient, std::int64_t n,
                                       float scale) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float* const share = shares + i * n;
    float* const row = gradient + i * n;
    double mean = 0;
    for (std::int64_t j = 0; j <= i; ++j) mean += static_cast<double>(share[j]) * row[j];
    for (std::int64_t j = 0; j <= i; ++j)
      row[j] = static_cast<float>(scale * share[j] * (row[j] - mean));
    std::fill(row + i + 1, row + n, 0.0F);
  }
}

}  // namespace millrace::kernels
