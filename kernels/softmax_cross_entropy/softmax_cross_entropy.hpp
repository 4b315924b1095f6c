#pragma once
// Softmax cross-entropy, loss and gradient in one pass. n rows (samples) of k classes.
//
//   loss_sum      = sum_i ( log sum_j exp(x_ij) - x_i,label(i) )
//   gradient_ij   = scale * ( exp(x_ij) / sum_j exp(x_ij) - [j == label(i)] )
//
// Numerics: the row's maximum is subtracted first, so that no finite logit overflows; rows are
// summed in double. The fast versions sum a row in float: relative error of a gradient entry below
// 1e-5. Infinite or NaN logits give a loss that is not finite, as in LibTorch.
// Traffic: 4 n k bytes read from memory (the row stays in cache), 4 n k written.

#include <cstdint>

namespace millrace::kernels {

struct SoftmaxCrossEntropyResult {
  double loss_sum = 0;
  /// Rows whose largest logit (the first of equal ones) is the label's, but none whose sum of
  /// exponentials is no number.
  std::int64_t correct = 0;
  std::int64_t bad_row = -1;  ///< first row whose label is not in 0..k-1; -1: none
  bool operator==(const SoftmaxCrossEntropyResult&) const = default;
};

/// logits [n, k] and d_logits [n, k] row-major, labels [n]. d_logits may be the logits' own memory
/// (in place) or nullptr (no gradient is wanted: evaluation).
/// REQUIRES n >= 0, k >= 1. A label out of range touches no memory outside the row: its gradient is
/// 0, it counts neither in loss_sum nor in correct, and bad_row tells the caller to refuse the
/// data. Runs on the calling thread and throws nothing; the same input gives the same bits.
SoftmaxCrossEntropyResult softmax_cross_entropy_reference(const float* logits,
                                                          const std::int64_t* labels,
                                                          std::int64_t n, std::int64_t k,
                                                          float scale, float* d_logits);

/// The same, vectorised (OpenMP simd, no threads of its own: rows are few where it is called).
SoftmaxCrossEntropyResult softmax_cross_entropy_cpu(const float* logits, const std::int64_t* labels,
                                                    std::int64_t n, std::int64_t k, float scale,
                                                    float* d_logits);

}  // namespace millrace::kernels
