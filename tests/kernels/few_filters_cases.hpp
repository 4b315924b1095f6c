#pragma once
// Convolutions whose filters fill a small part of a vector.

#include <vector>

#include "tests/kernels/convolution_cases.hpp"

namespace millrace::kernels {

/// Few filters on rows that are wide enough for a direct convolution to fill its vectors with
/// pixels: every number of filters, rows and columns left over, several blocks, forward and as an
/// input gradient.
inline std::vector<ConvolutionShape> few_filters() {
  std::vector<ConvolutionShape> all;
  for (std::int64_t filters = 1; filters <= 8; ++filters)
    all.push_back(square(2, 30 + filters, filters % 3 + 1, filters, 5, 2));
  for (std::int64_t channels = 1; channels <= 8; ++channels)
    all.push_back(square(5, 10 + channels, channels, 17, 5, 0));
  all.push_back(square(9, 28, 1, 6, 5, 2));
  all.push_back(square(3, 301, 1, 2, 3, 1));     // two blocks, a part of an image's rows at a time
  all.push_back(square(2, 33, 3, 20, 3, 1, 2));  // zeros between dy's pixels
  all.push_back(square(2, 16, 200, 3, 3, 1));    // more weights than are summed at a time
  all.push_back(square(2, 21, 5, 10, 3, 1));
  all.back().groups = 5;
  all.push_back(square(3, 15, 12, 12, 3, 1));
  all.back().groups = 12;
  all.push_back({.n = 2,
                 .height = 17,
                 .width = 46,
                 .channels = 2,
                 .filters = 3,
                 .taps_y = 3,
                 .taps_x = 4,
                 .stride_y = 2,
                 .pad_y = 3,
                 .pad_x = 1,
                 .dilation_y = 3,
                 .dilation_x = 2});
  all.push_back({.n = 3, .height = 1, .width = 40, .filters = 2, .taps_x = 5, .pad_x = 4});
  return all;
}

}  // namespace millrace::kernels
