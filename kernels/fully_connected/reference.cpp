#include <algorithm>

#include "kernels/fully_connected/fully_connected.hpp"

namespace millrace::kernels {

void fully_connected_forward_reference(const FullyConnectedSize& size, ConstMatrix x, ConstMatrix w,
                                       const float* bias, bool relu, Matrix y) {
  for (std::int64_t s = 0; s < size.n; ++s)
    for (std::int64_t o = 0; o < size.out; ++o) {
      double sum = bias != nullptr ? bias[o] : 0;
      for (std::int64_t i = 0; i < size.in; ++i)
        sum += double(x.data[s * x.stride + i]) * w.data[o * w.stride + i];
      y.data[s * y.stride + o] = static_cast<float>(relu ? std::max(sum, 0.0) : sum);
    }
}

void fully_connected_input_gradient_reference(const FullyConnectedSize& size, ConstMatrix dy,
                                              ConstMatrix w, Matrix dx) {
  for (std::int64_t s = 0; s < size.n; ++s)
    for (std::int64_t i = 0; i < size.in; ++i) {
      double sum = 0;
      for (std::int64_t o = 0; o < size.out; ++o)
        sum += double(dy.data[s * dy.stride + o]) * w.data[o * w.stride + i];
      dx.data[s * dx.stride + i] = static_cast<float>(sum);
    }
}

void fully_connected_weight_gradient_reference(const FullyConnectedSize& size, ConstMatrix x,
                                               ConstMatrix dy, Matrix dw) {
  for (std::int64_t o = 0; o < size.out; ++o)
    for (std::int64_t i = 0; i < size.in; ++i) {
      double sum = 0;
      for (std::int64_t s = 0; s < size.n; ++s)
        sum += double(dy.data[s * dy.stride + o]) * x.data[s * x.stride + i];
      dw.data[o * dw.stride + i] = static_cast<float>(sum);
    }
}

}  // namespace millrace::kernels
