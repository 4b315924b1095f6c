#pragma once
// kernels/fully_connected on tensors: [rows, columns], float32, each row dense.

#include <ATen/core/Tensor.h>

#include "framework/layers/layer_op.hpp"

namespace millrace {

/// y [n, out] = x [n, in] w^T + bias, clamped at 0 with `relu`; w [out, in], bias [out] or
/// undefined. On the calling thread's OpenMP team.
void multiply_forward(const at::Tensor& x, const at::Tensor& w, kernels::Precision precision,
                      const at::Tensor& bias, bool relu, const at::Tensor& y);

/// dx [n, in] = dy [n, out] w.
void multiply_backward(const at::Tensor& dy, const at::Tensor& w, kernels::Precision precision,
                       const at::Tensor& dx);

/// What a deferred weight's forward keeps: its input, and which samples it is of.
Saved save_input(const at::Tensor& x, const DrawKey& key);

/// Leaves dy^T x to the update, x being what save_input kept; frees `saved`.
void defer_gradient(ParameterSlot& weight, Saved& saved, const at::Tensor& dy);

}  // namespace millrace
