#pragma once
// Convolution in two dimensions and its gradients, on channels-last images.
//
//   y[n, p, q, k] = b[k] + sum_{c, i, j} x[n, p*stride + i*dilation - pad, q*stride + … , c] * w[k,
//   c, i, j]
//
// x [n, height, width, channels] and y [n, out_height, out_width, filters] are channels-last, w
// [filters, channels / groups, taps_y, taps_x] is as LibTorch keeps it; a pixel outside x counts 0.
// With groups > 1, filter k sees the channels of its group alone.

#include <cstdint>

namespace millrace::kernels {

struct ConvolutionShape {
  std::int64_t n = 1, height = 1, width = 1, channels = 1, filters = 1;
  std::int64_t taps_y = 1, taps_x = 1;
  std::int64_t stride_y = 1, stride_x = 1;
  std::int64_t pad_y = 0, pad_x = 0;
  std::int64_t dilation_y = 1, dilation_x = 1;
  std::int64_t groups = 1;

  std::int64_t out_height() const {
    return (height + 2 * pad_y - dilation_y * (taps_y - 1) - 1) / stride_y + 1;
  }
  std::int64_t out_width() const {
    return (width + 2 * pad_x - dilation_x * (taps_x - 1) - 1) / stride_x + 1;
  }
  bool operator==(const ConvolutionShape&) const = default;
};

/// What becomes of the sums that make an image [n, height, width, channels] before they are
/// written.
struct Finish {
  const float* bias = nullptr;  ///< [channels] to add, or null
  bool relu = false;            ///< then clamps at 0
  /// Such an image, or null: 0 is written where it is 0 or below, not where it is no number.
  const float* relu_output = nullptr;
};

/// The formulas above, accumulated in double; `bias` may be null. Overwrite their outputs.
void convolution_reference(const ConvolutionShape& shape, const float* x, const float* w,
                           const float* bias, double* y);
/// dx[n, y, x, c] from dy.
void convolution_input_gradient_reference(const ConvolutionShape& shape, const float* dy,
                                          const float* w, double* dx);
/// dw, and db[k] (null: not wanted) from x and dy.
void convolution_weight_gradient_reference(const ConvolutionShape& shape, const float* x,
                                           const float* dy, double* dw, double* db);

}  // namespace millrace::kernels
