#pragma once
// Max pooling of channels-last images and its gradient.
//
//   y[n, p, q, c]    = max over the window's pixels inside x of
//                      x[n, p*stride + i*dilation - pad, q*stride + j*dilation - pad, c]
//   from[n, p, q, c] = i * taps_x + j of the first largest (a NaN is larger than all)
//   dx[n, y, x, c]   = sum of dy[n, p, q, c] over the windows whose `from` is this pixel
//
// With `relu`, pooling of max(x, 0), which need not be in memory: a window without a pixel above 0
// gives 0, its `from` is kNoPixel, and so no pixel gets its gradient.
//
// x [n, height, width, channels], y and from [n, out_height, out_width, channels]. The output's
// size is the caller's (ceil mode); every window holds a pixel of x. One byte is kept per output,
// where LibTorch keeps x and eight bytes.
//
// Highway, vectors along the channels; runs on the calling thread's OpenMP team. The same input
// gives the same bits whatever the team. Traffic: x read, y and from written; dy and from read, dx
// written.

#include <cstdint>

namespace millrace::kernels {

inline constexpr std::uint8_t kNoPixel = 255;
inline constexpr std::int64_t kMostTaps = kNoPixel;

struct PoolShape {
  std::int64_t n = 1, height = 1, width = 1, channels = 1;
  std::int64_t out_height = 1, out_width = 1;
  std::int64_t taps_y = 1, taps_x = 1;  ///< taps_y * taps_x <= kMostTaps
  std::int64_t stride_y = 1, stride_x = 1;
  std::int64_t pad_y = 0, pad_x = 0;
  std::int64_t dilation_y = 1, dilation_x = 1;
};

void max_pool_reference(const PoolShape& shape, const float* x, bool relu, float* y,
                        std::uint8_t* from);
void max_pool_gradient_reference(const PoolShape& shape, const float* dy, const std::uint8_t* from,
                                 double* dx);

/// `from` may be null: no gradient is wanted.
void max_pool_cpu(const PoolShape& shape, const float* x, bool relu, float* y, std::uint8_t* from);
void max_pool_gradient_cpu(const PoolShape& shape, const float* dy, const std::uint8_t* from,
                           float* dx);

}  // namespace millrace::kernels
