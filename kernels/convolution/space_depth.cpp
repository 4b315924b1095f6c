#include "kernels/convolution/space_depth.hpp"

#include <algorithm>

namespace millrace::kernels {
namespace {

/// Calls body(pixel's channels in the deep image, y, x) for the pixels of a deep row that lie
/// inside the original.
template <typename Float, typename Body>
void for_each_pixel(const ConvolutionShape& s, DepthSize size, Float* deep, std::int64_t row,
                    const Body& body) {
  const std::int64_t stride = s.stride_y, wide = stride * stride * s.channels;
  const std::int64_t columns = std::min(s.width, size.columns * stride - s.pad_x);
  for (std::int64_t phase = 0; phase < stride; ++phase) {
    const std::int64_t y = row * stride + phase - s.pad_y;
    if (y < 0 || y >= s.height) continue;
    for (std::int64_t x = 0; x < columns; ++x) {
      const std::int64_t at = x + s.pad_x;
      body(deep + (row * size.columns + at / stride) * wide +
               (phase * stride + at % stride) * s.channels,
           y, x);
    }
  }
}

}  // namespace

void to_depth(const ConvolutionShape& s, DepthSize size, const ImageView& image, float* deep,
              std::int64_t row) {
  const std::int64_t floats = size.columns * s.stride_y * s.stride_y * s.channels;
  std::fill_n(deep + row * floats, floats, 0.0F);
  for_each_pixel(s, size, deep, row, [&](float* out, std::int64_t y, std::int64_t x) {
    const float* in = image.data + y * image.row + x * image.column;
    for (std::int64_t c = 0; c < s.channels; ++c) out[c] = in[c * image.channel];
  });
}

void from_depth(const ConvolutionShape& s, DepthSize size, const float* deep, float* image,
                std::int64_t row) {
  for_each_pixel(s, size, deep, row, [&](const float* in, std::int64_t y, std::int64_t x) {
    std::copy_n(in, s.channels, image + (y * s.width + x) * s.channels);
  });
}

}  // namespace millrace::kernels
