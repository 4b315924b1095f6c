#pragma once
// Space to depth: an image whose pixel (i, j) holds the stride x stride pixels of the padded
// original that begin at stride * (i, j), in the order of (row, column, channel). A convolution
// with a stride over the original is one with stride 1 over it.

#include <cstdint>

#include "kernels/convolution/convolution.hpp"

namespace millrace::kernels {

/// An image [n, height, width, channels] in any order, strides in floats.
struct ImageView {
  const float* data = nullptr;
  std::int64_t sample = 0, row = 0, column = 0, channel = 0;
};

/// Of images [rows, columns, stride^2 * channels].
struct DepthSize {
  std::int64_t rows = 0, columns = 0;
};

/// Row `row` of the deep image of sample `x` from the original; pixels outside are 0.
void to_depth(const ConvolutionShape& shape, DepthSize size, const ImageView& x, float* deep,
              std::int64_t row);

/// The other way: rows row * stride … of the channels-last image, from row `row` of the deep one.
/// Pixels that no window meets are not written.
void from_depth(const ConvolutionShape& shape, DepthSize size, const float* deep, float* image,
                std::int64_t row);

}  // namespace millrace::kernels
