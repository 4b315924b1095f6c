#pragma once
// Softmax of attention's scores where each position sees itself and those before it. n positions:
// matrices [n, n] row-major, row i a position, column j one that it sees.
//
//   share_ij   = exp(scale s_ij) / sum_{k <= i} exp(scale s_ik)          for j <= i, else 0
//   d_score_ij = scale share_ij (d_share_ij - sum_k share_ik d_share_ik) for j <= i, else 0
//
// Numerics: the row's maximum is subtracted first. The fast versions sum a row in float: relative
// error of a share below 1e-6. scale > 0. Infinite or NaN scores give NaN.

#include <cstdint>

namespace millrace::kernels {

/// In place: scores become shares. What stands behind the diagonal is not read. Runs on the calling
/// thread and throws nothing; the same input gives the same bits, as do those below.
void causal_softmax_reference(float* scores, std::int64_t n, float scale);
void causal_softmax_cpu(float* scores, std::int64_t n, float scale);

/// In place: gradients of shares become those of scores. What stands behind the diagonal of
/// `gradient` is not read.
void causal_softmax_gradient_reference(const float* shares, float* gradient, std::int64_t n,
                                       float scale);
void causal_softmax_gradient_cpu(const float* shares, float* gradient, std::int64_t n, float scale);

}  // namespace millrace::kernels
