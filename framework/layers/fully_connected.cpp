#include "framework/layers/fully_connected.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/scalar_tensor.h>

#include <utility>

#include "kernels/fully_connected/fully_connected.hpp"

namespace millrace {
namespace {

kernels::ConstMatrix rows_in(const at::Tensor& tensor) {
  return {tensor.data_ptr<float>(), tensor.stride(0)};
}

kernels::Matrix rows_out(const at::Tensor& tensor) {
  return {tensor.data_ptr<float>(), tensor.stride(0)};
}

kernels::FullyConnectedSize size_of(const at::Tensor& x, const at::Tensor& y) {
  return {x.size(0), x.size(1), y.size(1)};
}

at::Tensor workspace_of(const kernels::FullyConnectedSize& size) {
  return at::empty({kernels::fully_connected_workspace(size)}, at::kFloat);
}

}  // namespace

void multiply_forward(const at::Tensor& x, const at::Tensor& w, kernels::Precision precision,
                      const at::Tensor& bias, bool relu, const at::Tensor& y) {
  const kernels::FullyConnectedSize size = size_of(x, y);
  const at::Tensor workspace = workspace_of(size);
  kernels::fully_connected_forward(size, precision, rows_in(x), rows_in(w),
                                   bias.defined() ? bias.data_ptr<float>() : nullptr, relu,
                                   rows_out(y), workspace.data_ptr<float>());
}

void multiply_backward(const at::Tensor& dy, const at::Tensor& w, kernels::Precision precision,
                       const at::Tensor& dx) {
  const kernels::FullyConnectedSize size = size_of(dx, dy);
  const at::Tensor workspace = workspace_of(size);
  kernels::fully_connected_input_gradient(size, precision, rows_in(dy), rows_in(w), rows_out(dx),
                                          workspace.data_ptr<float>());
}

Saved save_input(const at::Tensor& x, const DrawKey& key) {
  return {x, at::scalar_tensor(key.first_sample, at::kLong)};
}

void defer_gradient(ParameterSlot& weight, Saved& saved, const at::Tensor& dy) {
  weight.products.push_back({saved[1].item<std::int64_t>(), std::move(saved[0]), dy});
  saved.clear();
}

}  // namespace millrace
