#pragma once
// One step of an optimizer on n elements, in one pass: torch::optim's formulas. With g the gradient
// times `scale`:
//
//   SGD     d = g + weight_decay w;  m = momentum m + d  (no m: m stands for d)
//           w = w - learning_rate (nesterov ? d + momentum m : m)
//   AdamW   a = beta1 a + (1 - beta1) g;  s = beta2 s + (1 - beta2) g^2
//           w = decay w - step_size a / (sqrt(s) / root_of_correction2 + epsilon)
//
// Numerics: float32, a few round-offs. An element's result depends on its own numbers alone, not on
// its place. Aliasing: none. Traffic: everything but the gradient is read and written once.
// Runs on the calling thread; throws nothing.

#include <cstdint>

namespace millrace::kernels {

struct SgdFactors {
  float learning_rate = 0, momentum = 0, weight_decay = 0, scale = 1;
  bool nesterov = false;
};

/// `momentum` null: none is kept.
void sgd_cpu(const SgdFactors& factors, float* w, float* momentum, const float* gradient,
             std::int64_t n);
void sgd_reference(const SgdFactors& factors, float* w, float* momentum, const float* gradient,
                   std::int64_t n);

struct AdamWFactors {
  float decay = 1;                                   ///< 1 - learning rate x weight decay
  float beta1 = 0, rest1 = 1, beta2 = 0, rest2 = 1;  ///< rest = 1 - beta, rounded once
  float epsilon = 0, step_size = 0;                  ///< learning rate / (1 - beta1^steps)
  float root_of_correction2 = 1, scale = 1;          ///< sqrt(1 - beta2^steps)
};

void adamw_cpu(const AdamWFactors& factors, float* w, float* average, float* square,
               const float* gradient, std::int64_t n);
void adamw_reference(const AdamWFactors& factors, float* w, float* average, float* square,
                     const float* gradient, std::int64_t n);

}  // namespace millrace::kernels
