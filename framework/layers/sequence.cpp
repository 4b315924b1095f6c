#include "millrace/sequence.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>

#include <cmath>
#include <limits>
#include <tuple>

#include "millrace/errors.hpp"

namespace millrace {

void PlaceEmbeddingImpl::reset() {
  weight = register_parameter("weight", at::empty({positions_, width_}));
  reset_parameters();
}

void PlaceEmbeddingImpl::reset_parameters() {
  const at::NoGradGuard no_gradients;
  weight.normal_();
}

torch::Tensor PlaceEmbeddingImpl::forward(const torch::Tensor& x) {
  return x + weight.narrow(0, 0, x.size(1));
}

CausalAttentionImpl::CausalAttentionImpl(std::int64_t heads) : heads_(heads) {
  if (heads < 1)
    throw ConfigError("model",
                      "attention with " + std::to_string(heads) + " heads: give it at least 1");
}

torch::Tensor CausalAttentionImpl::forward(const torch::Tensor& queries_keys_values) {
  const std::int64_t n = queries_keys_values.size(0), positions = queries_keys_values.size(1);
  const std::int64_t width = queries_keys_values.size(2) / 3, depth = width / heads_;
  if (depth * heads_ * 3 != queries_keys_values.size(2)) {
    throw ConfigError("model", "attention with " + std::to_string(heads_) + " heads is given " +
                                   std::to_string(queries_keys_values.size(2)) +
                                   " numbers a position: 3 x heads must divide them");
  }
  // [3, n, heads, positions, depth]
  const torch::Tensor parts =
      queries_keys_values.view({n, positions, 3, heads_, depth}).permute({2, 0, 3, 1, 4});
  const torch::Tensor queries = parts[0] / std::sqrt(static_cast<double>(depth));
  const torch::Tensor later =
      at::full({positions, positions}, -std::numeric_limits<float>::infinity(),
               queries.options().requires_grad(false))
          .triu(1);
  const torch::Tensor weights =
      at::softmax(at::matmul(queries, parts[1].transpose(2, 3)) + later, -1);
  return at::matmul(weights, parts[2]).transpose(1, 2).reshape({n, positions, width});
}

torch::Tensor SequenceLSTMImpl::forward(const torch::Tensor& inputs) {
  return std::get<0>(LSTMImpl::forward(inputs));
}

std::shared_ptr<torch::nn::Module> SequenceLSTMImpl::clone(
    const c10::optional<torch::Device>& device) const {
  auto copy =
      std::make_shared<SequenceLSTMImpl>(options_base.input_size(), options_base.hidden_size());
  const at::NoGradGuard no_gradients;
  auto copies = copy->named_parameters();
  for (const auto& parameter : named_parameters()) copies[parameter.key()].copy_(parameter.value());
  if (device) copy->to(*device);
  return copy;
}

}  // namespace millrace
