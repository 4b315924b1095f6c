#include "kernels/convolution/space_depth.hpp"

#include <algorithm>

namespace millrace::kernels {
namespace {

/// Calls copy(first pixel's channels in the deep image, y, x, count) for neighbouring pixels of a
/// deep row that lie inside the original and follow each other in the deep image, too.
template <typename Float, typename Copy>
void for_each_run(const ConvolutionShape& s, DepthSize size, Float* deep, std::int64_t row,
                  const Copy& copy) {
  const std::int64_t stride = s.stride_y, wide = stride * stride * s.channels;
  for (std::int64_t phase = 0; phase < stride; ++phase) {
    const std::int64_t y = row * stride + phase - s.pad_y;
    if (y < 0 || y >= s.height) continue;
    Float* run = deep + row * size.columns * wide + phase * stride * s.channels;
    for (std::int64_t at = 0; at < size.columns; ++at, run += wide) {
      const std::int64_t left = at * stride - s.pad_x, x = std::max<std::int64_t>(left, 0);
      const std::int64_t end = std::min(left + stride, s.width);
      if (x < end) copy(run + (x - left) * s.channels, y, x, end - x);
    }
  }
}

/// kChannels: those of the image, or 0 where it has any number.
template <int kChannels>
void copy_to_depth(const ConvolutionShape& s, DepthSize size, const ImageView& image, float* deep,
                   std::int64_t row) {
  const std::int64_t channels = kChannels > 0 ? kChannels : s.channels;
  for_each_run(s, size, deep, row,
               [&](float* out, std::int64_t y, std::int64_t x, std::int64_t count) {
                 const float* in = image.data + y * image.row + x * image.column;
                 for (; count > 0; --count, in += image.column, out += channels)
                   for (std::int64_t c = 0; c < channels; ++c) out[c] = in[c * image.channel];
               });
}

}  // namespace

void to_depth(const ConvolutionShape& s, DepthSize size, const ImageView& image, float* deep,
              std::int64_t row) {
  const std::int64_t floats = size.columns * s.stride_y * s.stride_y * s.channels;
  std::fill_n(deep + row * floats, floats, 0.0F);
  (s.channels == 3 ? copy_to_depth<3> : copy_to_depth<0>)(s, size, image, deep, row);
}

void from_depth(const ConvolutionShape& s, DepthSize size, const float* deep, float* image,
                std::int64_t row) {
  for_each_run(s, size, deep, row,
               [&](const float* in, std::int64_t y, std::int64_t x, std::int64_t count) {
                 std::copy_n(in, count * s.channels, image + (y * s.width + x) * s.channels);
               });
}

}  // namespace millrace::kernels
