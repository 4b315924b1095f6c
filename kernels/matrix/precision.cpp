#include "kernels/matrix/precision.hpp"

namespace millrace::kernels {

bool has_bf16_products() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

}  // namespace millrace::kernels
