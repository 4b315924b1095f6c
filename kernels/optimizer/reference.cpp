#include <cmath>

#include "kernels/optimizer/optimizer.hpp"

namespace millrace::kernels {

void sgd_reference(const SgdFactors& f, float* w, float* momentum, const float* gradient,
                   std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const double d = double(gradient[i]) * f.scale + double(f.weight_decay) * w[i];
    const double m = momentum != nullptr ? double(f.momentum) * momentum[i] + d : d;
    w[i] = float(w[i] - f.learning_rate * (f.nesterov ? d + f.momentum * m : m));
    if (momentum != nullptr) momentum[i] = float(m);
  }
}

void adamw_reference(const AdamWFactors& f, float* w, float* average, float* square,
                     const float* gradient, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    const double g = double(gradient[i]) * f.scale;
    const double a = double(f.beta1) * average[i] + f.rest1 * g;
    const double s = double(f.beta2) * square[i] + f.rest2 * g * g;
    w[i] = float(double(f.decay) * w[i] -
                 f.step_size * a / (std::sqrt(s) / f.root_of_correction2 + f.epsilon));
    average[i] = float(a);
    square[i] = float(s);
  }
}

}  // namespace millrace::kernels
