#include "framework/layers/element_update.hpp"

#include <cmath>

#include "kernels/optimizer/optimizer.hpp"

namespace millrace {
namespace {

ElementUpdate sgd_update(const OptimizerSettings& settings, double learning_rate, float scale) {
  const kernels::SgdFactors factors{
      static_cast<float>(learning_rate), static_cast<float>(settings.momentum),
      static_cast<float>(settings.weight_decay), scale, settings.nesterov};
  return [=](float* w, float* momentum, float*, const float* gradient, std::int64_t n) {
    kernels::sgd_cpu(factors, w, momentum, gradient, n);
  };
}

ElementUpdate adamw_update(const OptimizerSettings& settings, double learning_rate,
                           std::int64_t step, float scale) {
  const auto steps = static_cast<double>(step + 1);
  const double correction1 = 1 - std::pow(settings.beta1, steps);
  const double correction2 = 1 - std::pow(settings.beta2, steps);
  const kernels::AdamWFactors factors{static_cast<float>(1 - learning_rate * settings.weight_decay),
                                      static_cast<float>(settings.beta1),
                                      static_cast<float>(1 - settings.beta1),
                                      static_cast<float>(settings.beta2),
                                      static_cast<float>(1 - settings.beta2),
                                      static_cast<float>(settings.epsilon),
                                      static_cast<float>(learning_rate / correction1),
                                      static_cast<float>(std::sqrt(correction2)),
                                      scale};
  return [=](float* w, float* average, float* square, const float* gradient, std::int64_t n) {
    kernels::adamw_cpu(factors, w, average, square, gradient, n);
  };
}

}  // namespace

ElementUpdate element_update(const OptimizerSettings& settings, double learning_rate,
                             std::int64_t step, float scale) {
  if (settings.kind == OptimizerKind::adamw)
    return adamw_update(settings, learning_rate, step, scale);
  return sgd_update(settings, learning_rate, scale);
}

}  // namespace millrace
