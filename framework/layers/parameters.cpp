#include <ATen/ops/empty_like.h>

#include "framework/layers/ops.hpp"
#include "kernels/reduction/reduction.hpp"

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

void Parameters::add_column_sums(std::size_t i, const at::Tensor& rows) {
  auto [gradient, beta] = target(i);
  kernels::column_sums_cpu({rows.size(0), rows.size(1), rows.stride(0)}, rows.data_ptr<float>(),
                           beta > 0, gradient.data_ptr<float>());
}

}  // namespace millrace
