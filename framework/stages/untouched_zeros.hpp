#pragma once

#include <ATen/core/Tensor.h>

namespace millrace {

/// float32 zeros of the shape of `like`, contiguous. A large tensor takes no memory before it is
/// written to: the system has pages of zeros. Where it refuses the addresses: as at::zeros.
at::Tensor untouched_zeros_like(const at::Tensor& like);

}  // namespace millrace
