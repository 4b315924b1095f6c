#pragma once
// Counter-based masks of inverted dropout: element e of sample i in step t of layer l is kept or
// dropped by Philox 4x32-10 on (seed; e / 4, i, t, l), whichever worker asks.

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "framework/layers/layer_op.hpp"

namespace millrace {

struct Dropout {
  int layer_index = 0;
  double p = 0.5;

  /// What a kept element is multiplied by; a dropped one is multiplied by 0.
  float scale() const { return p < 1 ? static_cast<float>(1 / (1 - p)) : 0.0F; }
};

/// Keep bytes (0 or 1), [rows, elements] uint8: elements first_element … of each sample.
at::Tensor draw_keep(const Dropout& dropout, const DrawKey& key, std::int64_t rows,
                     std::int64_t first_element, std::int64_t elements);

/// y = x * keep * scale, all [rows, elements] in the order of `keep`; rows of x and y may be apart.
/// x and y may be the same.
void apply_keep(const Dropout& dropout, const at::Tensor& keep, const at::Tensor& x, at::Tensor& y);

}  // namespace millrace
