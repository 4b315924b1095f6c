#include <ATen/Parallel.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/sum.h>
#include <torch/nn/modules/linear.h>

#include "framework/layers/ops.hpp"

namespace millrace {
namespace {

constexpr std::int64_t kGrain = 64;  // rows or columns that a thread takes at least

/// out = beta addend + a b, [m, k] of [m, i] and [i, k]; `addend` is `out` itself or a row [k]. The
/// calling thread's OpenMP team divides it, because BLAS is held to one thread: the threads of its
/// own pool would run on any core.
void multiply(const at::Tensor& out, const at::Tensor& addend, const at::Tensor& a,
              const at::Tensor& b, float beta) {
  const std::int64_t side = out.size(0) > out.size(1) ? 0 : 1;
  at::parallel_for(0, out.size(side), kGrain, [&](std::int64_t begin, std::int64_t end) {
    const auto cut = [&](const at::Tensor& whole, std::int64_t dimension) {
      return whole.narrow(dimension, begin, end - begin);
    };
    at::Tensor part = cut(out, side);
    const at::Tensor with = addend.dim() == 2 ? part : side == 1 ? cut(addend, 0) : addend;
    at::addmm_out(part, with, side == 0 ? cut(a, 0) : a, side == 1 ? cut(b, 1) : b, beta);
  });
}

/// x [n, in] -> y [n, out] = x W^T + b; x may have more dimensions before the last.
class LinearOp final : public TwoPartOp {
 public:
  explicit LinearOp(const Layer& layer)
      : TwoPartOp(OutputUse::free, Parameters(layer.name, *layer.module.ptr())) {}

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool, Saved* saved, bool) override {
    std::vector<std::int64_t> shape = x.sizes().vec();
    const at::Tensor rows = x.reshape({-1, shape.back()});
    if (saved) *saved = {rows};
    const auto& slots = parameters();
    const bool bias = slots.size() > 1;
    const at::Tensor w = slots[0].value.t();
    const at::Tensor y = at::empty({rows.size(0), w.size(1)}, rows.options());
    multiply(y, bias ? slots[1].value : y, rows, w, bias ? 1 : 0);
    shape.back() = y.size(1);
    return y.view(shape);
  }

 private:
  at::Tensor as_kept(const at::Tensor& dy) const override { return dy; }

  at::Tensor make_input_gradient(const at::Tensor& x, const at::Tensor& dy) override {
    std::vector<std::int64_t> shape = dy.sizes().vec();
    shape.back() = x.size(1);
    const at::Tensor dx = at::empty(x.sizes(), x.options());
    multiply(dx, dx, as_rows(dy), parameters()[0].value, 0);
    return dx.view(shape);
  }

  void add_weight_gradient(const at::Tensor& x, const at::Tensor& dy) override {
    const at::Tensor rows = as_rows(dy);
    auto [dw, beta] = parameters_.target(0);
    multiply(dw, dw, rows.t(), x, beta);
    if (parameters().size() > 1) parameters_.add(1, rows.sum(0));
  }

  static at::Tensor as_rows(const at::Tensor& dy) { return dy.reshape({-1, dy.size(-1)}); }
};

}  // namespace

std::unique_ptr<LayerOp> make_linear_op(const OpRequest& request) {
  if (!request.layer.module.ptr()->as<torch::nn::Linear>()) return nullptr;
  return std::make_unique<LinearOp>(request.layer);
}

}  // namespace millrace
