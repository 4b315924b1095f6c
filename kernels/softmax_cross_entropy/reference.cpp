#include <algorithm>
#include <cmath>

#include "kernels/softmax_cross_entropy/softmax_cross_entropy.hpp"

namespace millrace::kernels {

SoftmaxCrossEntropyResult softmax_cross_entropy_reference(const float* logits,
                                                          const std::int64_t* labels,
                                                          std::int64_t n, std::int64_t k,
                                                          float scale, float* d_logits) {
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
    const float* const largest = std::max_element(row, row + k);
    const double maximum = *largest;
    double sum = 0;
    for (std::int64_t j = 0; j < k; ++j) sum += std::exp(row[j] - maximum);
    result.loss_sum += std::log(sum) + maximum - row[label];
    result.correct += largest - row == label && !std::isnan(sum) ? 1 : 0;
    for (std::int64_t j = 0; j < k && gradient != nullptr; ++j) {
      const double probability = std::exp(row[j] - maximum) / sum;
      gradient[j] = static_cast<float>(scale * (probability - (j == label ? 1 : 0)));
    }
  }
  return result;
}

}  // namespace millrace::kernels
