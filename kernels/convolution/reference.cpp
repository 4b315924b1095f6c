#include <algorithm>

#include "kernels/convolution/convolution.hpp"

namespace millrace::kernels {
namespace {

/// Calls body(index in x, index in w, index in y) for every product of the sum.
template <typename Body>
void for_each_product(const ConvolutionShape& s, const Body& body) {
  const std::int64_t group_channels = s.channels / s.groups, group_filters = s.filters / s.groups;
  std::int64_t out = 0;
  for (std::int64_t n = 0; n < s.n; ++n)
    for (std::int64_t p = 0; p < s.out_height(); ++p)
      for (std::int64_t q = 0; q < s.out_width(); ++q)
        for (std::int64_t k = 0; k < s.filters; ++k, ++out)
          for (std::int64_t i = 0; i < s.taps_y; ++i)
            for (std::int64_t j = 0; j < s.taps_x; ++j) {
              const std::int64_t y = p * s.stride_y + i * s.dilation_y - s.pad_y;
              const std::int64_t x = q * s.stride_x + j * s.dilation_x - s.pad_x;
              if (y < 0 || y >= s.height || x < 0 || x >= s.width) continue;
              const std::int64_t pixel = ((n * s.height + y) * s.width + x) * s.channels;
              for (std::int64_t c = 0; c < group_channels; ++c) {
                const std::int64_t weight =
                    ((k * group_channels + c) * s.taps_y + i) * s.taps_x + j;
                body(pixel + k / group_filters * group_channels + c, weight, out);
              }
            }
}

}  // namespace

void convolution_reference(const ConvolutionShape& s, const float* x, const float* w,
                           const float* bias, double* y) {
  const std::int64_t size = s.n * s.out_height() * s.out_width() * s.filters;
  for (std::int64_t i = 0; i < size; ++i) y[i] = bias ? bias[i % s.filters] : 0;
  for_each_product(s, [&](std::int64_t in, std::int64_t weight, std::int64_t out) {
    y[out] += static_cast<double>(x[in]) * w[weight];
  });
}

void convolution_input_gradient_reference(const ConvolutionShape& s, const float* dy,
                                          const float* w, double* dx) {
  std::fill_n(dx, s.n * s.height * s.width * s.channels, 0.0);
  for_each_product(s, [&](std::int64_t in, std::int64_t weight, std::int64_t out) {
    dx[in] += static_cast<double>(dy[out]) * w[weight];
  });
}

void convolution_weight_gradient_reference(const ConvolutionShape& s, const float* x,
                                           const float* dy, double* dw, double* db) {
  std::fill_n(dw, s.filters * s.channels / s.groups * s.taps_y * s.taps_x, 0.0);
  for_each_product(s, [&](std::int64_t in, std::int64_t weight, std::int64_t out) {
    dw[weight] += static_cast<double>(x[in]) * dy[out];
  });
  if (db == nullptr) return;
  std::fill_n(db, s.filters, 0.0);
  const std::int64_t size = s.n * s.out_height() * s.out_width() * s.filters;
  for (std::int64_t i = 0; i < size; ++i) db[i % s.filters] += dy[i];
}

}  // namespace millrace::kernels
