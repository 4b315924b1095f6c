#include <ATen/ops/empty.h>
#include <torch/nn/modules/linear.h>

#include "framework/layers/fully_connected.hpp"
#include "framework/layers/ops.hpp"

namespace millrace {
namespace {

/// [rows, features] of [n, …, features], each row dense.
at::Tensor as_matrix(const at::Tensor& x) { return x.reshape({-1, x.size(-1)}).contiguous(); }

/// LinearOp on own kernels, its weight gradient deferred.
class OwnLinearOp final : public SingleInputOp {
 public:
  explicit OwnLinearOp(const OpRequest& request)
      : SingleInputOp(OutputUse::free, Parameters(request.layer.name, *request.layer.module.ptr())),
        relu_(request.fusion.relu_behind) {
    parameters()[0].deferred = true;
    parameters()[0].precision = request.precision;
  }

  at::Tensor forward(const at::Tensor& x, const DrawKey& key, bool, Saved* saved, bool) override {
    std::vector<std::int64_t> shape = x.sizes().vec();
    const at::Tensor rows = as_matrix(x);
    if (saved) *saved = save_input(rows, key);
    const auto& slots = parameters();
    const at::Tensor y = at::empty({rows.size(0), slots[0].value.size(0)}, rows.options());
    multiply_forward(rows, slots[0].value, slots[0].precision,
                     slots.size() > 1 ? slots[1].value : at::Tensor(), relu_, y);
    shape.back() = y.size(1);
    return y.view(shape);
  }

  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) override {
    const at::Tensor rows = as_matrix(dy);
    at::Tensor dx;
    if (input_gradient) {
      std::vector<std::int64_t> shape = dy.sizes().vec();
      shape.back() = saved[0].size(1);
      dx = at::empty(saved[0].sizes(), rows.options());
      multiply_backward(rows, parameters()[0].value, parameters()[0].precision, dx);
      dx = dx.view(shape);
    }
    if (parameters().size() > 1) parameters_.add_column_sums(1, rows);
    defer_gradient(parameters()[0], saved, rows);
    return dx;
  }

 private:
  bool relu_;
};

}  // namespace

std::unique_ptr<LayerOp> make_own_linear_op(const OpRequest& request) {
  if (!request.layer.module.ptr()->as<torch::nn::Linear>()) return nullptr;
  return std::make_unique<OwnLinearOp>(request);
}

}  // namespace millrace
