#pragma once
// Batch normalisation of dense rows [rows, channels]: of images, channels-last, a row is a pixel.
//
//   y = gamma (x - mean) / sqrt(var + eps) + beta,  mean and var over all rows of a channel
//
// in passes that let replicas meet between them: each finds what its own rows sum up to, the caller
// adds that up, and each then finishes its rows. With a relu behind, y is held between 0 and `most`
// (infinite; 6 for a ReLU6), and the gradient counts as 0 where y is 0 or below, or a finite `most`
// or above, which is found again from x; where y is no number it passes, as in LibTorch.
// Sums are made in double over runs of float32 sums of at most 64 rows.
// Versions: _reference (double throughout), _cpu (Highway, on the calling thread's OpenMP team; the
// same bits for the same team size). Traffic in the comments: N = rows * channels floats.

#include <cstdint>
#include <limits>

namespace millrace::kernels {

struct NormShape {
  std::int64_t rows = 0, channels = 0;
};

/// y = x scale + shift by channel: scale = gamma / sqrt(var + eps), shift = beta - mean scale.
struct NormLine {
  const float* scale = nullptr;
  const float* shift = nullptr;
  bool relu = false;
  float most = std::numeric_limits<float>::infinity();  ///< of y, with relu
};

/// By channel: mean[c] of x and the sum of squared deviations from it. rows > 0. Reads N.
void norm_statistics_reference(const NormShape& shape, const float* x, double* mean,
                               double* deviations);
void norm_statistics_cpu(const NormShape& shape, const float* x, double* mean, double* deviations);

/// y may be x. Reads and writes N.
void norm_reference(const NormShape& shape, const NormLine& line, const float* x, float* y);
void norm_cpu(const NormShape& shape, const NormLine& line, const float* x, float* y);

/// By channel: sum of dy and sum of dy (x - mean[c]). Reads 2 N.
void norm_gradient_sums_reference(const NormShape& shape, const NormLine& line, const float* mean,
                                  const float* x, const float* dy, double* sum, double* product);
void norm_gradient_sums_cpu(const NormShape& shape, const NormLine& line, const float* mean,
                            const float* x, const float* dy, double* sum, double* product);

/// dx = a dy + b (x - mean) + c by channel, where with R rows in all replicas, S and P what
/// norm_gradient_sums found for all of them and r = 1 / sqrt(var + eps)
///   a = gamma r,  b = -a r^2 P / R,  c = -a S / R
/// (and the gradients of gamma and beta are r P and S).
struct NormGradient {
  const float* a = nullptr;
  const float* b = nullptr;
  const float* c = nullptr;
  const float* mean = nullptr;
};

/// dx may be dy or x. Reads 2 N, writes N.
void norm_gradient_reference(const NormShape& shape, const NormLine& line,
                             const NormGradient& gradient, const float* x, const float* dy,
                             float* dx);
void norm_gradient_cpu(const NormShape& shape, const NormLine& line, const NormGradient& gradient,
                       const float* x, const float* dy, float* dx);

}  // namespace millrace::kernels
