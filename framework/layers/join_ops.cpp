#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "framework/layers/ops.hpp"
#include "kernels/columns/columns.hpp"

namespace millrace {
namespace {

/// y = x0 + x1 + …
class AddOp final : public OpBase {
 public:
  AddOp() : OpBase(OutputUse::free) {}

  at::Tensor forward(at::TensorList xs, const DrawKey&, bool, Saved*,
                     bool may_overwrite_input) override {
    if (xs.size() == 1) return may_overwrite_input ? xs[0] : xs[0].clone();
    at::Tensor sum = may_overwrite_input ? xs[0] : at::empty_like(xs[0]);
    at::add_out(sum, xs[0], xs[1]);
    for (std::size_t i = 2; i < xs.size(); ++i) sum.add_(xs[i]);
    return sum;
  }

  std::vector<at::Tensor> backward(const at::Tensor& dy, Saved&,
                                   const std::vector<bool>& input_gradients) override {
    std::vector<at::Tensor> result;
    for (const bool wanted : input_gradients) result.push_back(wanted ? dy : at::Tensor());
    return result;
  }
};

/// [n, c0 + c1 + …, …] of [n, c0, …], [n, c1, …], …; images are channels-last.
class ConcatOp final : public OpBase {
 public:
  ConcatOp() : OpBase(OutputUse::free) {}

  at::Tensor forward(at::TensorList xs, const DrawKey&, bool, Saved*, bool) override {
    channels_.clear();
    std::vector<std::int64_t> shape = xs.front().sizes().vec();
    shape[1] = 0;
    for (const at::Tensor& x : xs) {
      channels_.push_back(x.size(1));
      shape[1] += x.size(1);
    }
    if (xs.front().dim() != 2 && xs.front().dim() != 4) return at::cat(xs, 1);
    const at::Tensor y = at::empty(shape, xs.front().options().memory_format(layout(xs.front())));
    float* to = y.data_ptr<float>();
    for (const at::Tensor& x : xs) {
      const at::Tensor dense = x.contiguous(layout(x));
      kernels::copy_columns_cpu({rows(x), x.size(1), x.size(1), shape[1]}, dense.data_ptr<float>(),
                                to);
      to += x.size(1);
    }
    return y;
  }

  std::vector<at::Tensor> backward(const at::Tensor& dy, Saved&,
                                   const std::vector<bool>& input_gradients) override {
    std::vector<at::Tensor> result(input_gradients.size());
    const bool own = dy.dim() == 2 || dy.dim() == 4;
    const at::Tensor dense = own ? dy.contiguous(layout(dy)) : dy;
    std::int64_t first = 0;
    for (std::size_t i = 0; i < result.size(); first += channels_[i++]) {
      if (!input_gradients[i]) continue;
      result[i] = own ? part(dense, first, channels_[i])
                      : dense.narrow(1, first, channels_[i]).contiguous();
    }
    return result;
  }

 private:
  static at::MemoryFormat layout(const at::Tensor& x) {
    return x.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  }
  static std::int64_t rows(const at::Tensor& x) { return x.numel() / x.size(1); }

  static at::Tensor part(const at::Tensor& dy, std::int64_t first, std::int64_t channels) {
    std::vector<std::int64_t> shape = dy.sizes().vec();
    shape[1] = channels;
    const at::Tensor dx = at::empty(shape, dy.options().memory_format(layout(dy)));
    kernels::copy_columns_cpu({rows(dy), channels, dy.size(1), channels},
                              dy.data_ptr<float>() + first, dx.data_ptr<float>());
    return dx;
  }

  std::vector<std::int64_t> channels_;  ///< by input, whatever the samples
};

}  // namespace

std::unique_ptr<LayerOp> make_add_op(const OpRequest&) { return std::make_unique<AddOp>(); }

std::unique_ptr<LayerOp> make_concat_op(const OpRequest&) { return std::make_unique<ConcatOp>(); }

}  // namespace millrace
