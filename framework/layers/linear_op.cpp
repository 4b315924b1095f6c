#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <torch/nn/modules/linear.h>

#include "framework/layers/ops.hpp"

namespace millrace {
namespace {

/// x [n, in] -> y [n, out] = x W^T + b; x may have more dimensions before the last.
class LinearOp final : public OpBase {
 public:
  explicit LinearOp(const Layer& layer)
      : OpBase(OutputUse::free, Parameters(layer.name, *layer.module.ptr())) {}

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool, Saved* saved, bool) override {
    std::vector<std::int64_t> shape = x.sizes().vec();
    const at::Tensor rows = x.reshape({-1, shape.back()});
    if (saved) *saved = {rows};
    const auto& slots = parameters();
    const at::Tensor w = slots[0].value.t();
    const at::Tensor y = slots.size() > 1 ? at::addmm(slots[1].value, rows, w) : at::mm(rows, w);
    shape.back() = y.size(1);
    return y.view(shape);
  }

  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) override {
    const at::Tensor x = std::move(saved[0]);
    saved.clear();
    const at::Tensor rows = dy.reshape({-1, dy.size(-1)});
    add_weight_gradient(rows, x);
    if (!input_gradient) return {};
    std::vector<std::int64_t> shape = dy.sizes().vec();
    shape.back() = x.size(1);
    return at::mm(rows, parameters()[0].value).view(shape);
  }

 private:
  void add_weight_gradient(const at::Tensor& dy, const at::Tensor& x) {
    auto [dw, beta] = parameters_.target(0);
    at::addmm_out(dw, dw, dy.t(), x, beta);
    if (parameters().size() > 1) parameters_.add(1, dy.sum(0));
  }
};

}  // namespace

std::unique_ptr<LayerOp> make_linear_op(const Layer& layer, const LayerFacts&, int,
                                        at::MemoryFormat) {
  if (!layer.module.ptr()->as<torch::nn::Linear>()) return nullptr;
  return std::make_unique<LinearOp>(layer);
}

}  // namespace millrace
