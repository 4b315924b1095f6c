#pragma once
// Which precisions can be tested here.

#include <hwy/targets.h>

#include "kernels/matrix/precision.hpp"

namespace millrace::kernels {

/// precision.hpp: with AVX-512 the CPU must multiply bfloat16, too.
inline bool computes(Precision precision) {
  const bool wide = (hwy::SupportedTargets() & HWY_AVX3) != 0;
  return precision == Precision::fp32 || !wide || has_bf16_products();
}

}  // namespace millrace::kernels
