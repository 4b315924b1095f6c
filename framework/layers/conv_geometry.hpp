#pragma once
// What a convolution module says of its windows.

#include <cstdint>
#include <optional>
#include <vector>

#include "framework/layers/layer_op.hpp"
#include "kernels/convolution/convolution.hpp"

namespace millrace {

struct ConvGeometry {
  std::vector<std::int64_t> stride, padding, dilation;
  std::int64_t groups = 1;
};

/// Empty where the module is no Conv2d, or has options that only the module itself computes (other
/// padding than zeros, "same").
std::optional<ConvGeometry> conv_geometry(const Layer& layer);

/// The convolution of one sample, as kernels see it.
kernels::ConvolutionShape conv_shape(const ConvGeometry& geometry, const LayerFacts& facts,
                                     at::IntArrayRef weight);

}  // namespace millrace
