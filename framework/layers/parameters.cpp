#include <ATen/ops/empty_like.h>

#include "framework/layers/ops.hpp"

namespace millrace {

Parameters::Parameters(const std::string& layer, const torch::nn::Module& module) {
  for (const auto& parameter : module.named_parameters())
    slots_.push_back({layer + "." + parameter.key(), parameter.value().detach(), {}, false, {}});
}

void Parameters::clear() {
  for (ParameterSlot& slot : slots_) {
    slot.gradient.reset();
    slot.products.clear();
  }
}

void Parameters::add(std::size_t i, at::Tensor gradient) {
  ParameterSlot& slot = slots_[i];
  if (slot.gradient.defined()) {
    slot.gradient.add_(gradient);
  } else {
    slot.gradient = gradient.contiguous();
  }
}

Parameters::Target Parameters::target(std::size_t i) {
  ParameterSlot& slot = slots_[i];
  if (slot.gradient.defined()) return {slot.gradient, 1};
  slot.gradient = at::empty_like(slot.value);
  return {slot.gradient, 0};
}

}  // namespace millrace
