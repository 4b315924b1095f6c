#pragma once
// Dropout on tensors (kernels/dropout): the masks follow from the draw key alone.

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "framework/layers/layer_op.hpp"

namespace millrace {

struct Dropout {
  int layer_index = 0;
  double p = 0.5;
};

/// y = dropout(x), both [rows, elements…] float32, each row dense, rows may be apart: elements
/// first_element … of each sample. x and y may be the same. Returns what was kept, a byte each.
at::Tensor drop(const Dropout& dropout, const DrawKey& key, std::int64_t first_element,
                const at::Tensor& x, const at::Tensor& y);

/// dx from dy and what drop() returned; shapes as there.
void drop_gradient(const Dropout& dropout, const at::Tensor& keep, const at::Tensor& dy,
                   const at::Tensor& dx);

}  // namespace millrace
