#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>

#include "framework/layers/ops.hpp"

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

/// [n, c0 + c1 + …, …] of [n, c0, …], [n, c1, …], …
class ConcatOp final : public OpBase {
 public:
  ConcatOp() : OpBase(OutputUse::free) {}

  at::Tensor forward(at::TensorList xs, const DrawKey&, bool, Saved*, bool) override {
    channels_.clear();
    for (const at::Tensor& x : xs) channels_.push_back(x.size(1));
    return at::cat(xs, 1);
  }

  /// Dense, since whoever gets one may write to it.
  std::vector<at::Tensor> backward(const at::Tensor& dy, Saved&,
                                   const std::vector<bool>& input_gradients) override {
    std::vector<at::Tensor> result(input_gradients.size());
    std::int64_t first = 0;
    for (std::size_t i = 0; i < result.size(); first += channels_[i++])
      if (input_gradients[i])
        result[i] = dy.narrow(1, first, channels_[i]).contiguous(dy.suggest_memory_format());
    return result;
  }

 private:
  std::vector<std::int64_t> channels_;  ///< by input, whatever the samples
};

}  // namespace

std::unique_ptr<LayerOp> make_add_op(const OpRequest&) { return std::make_unique<AddOp>(); }

std::unique_ptr<LayerOp> make_concat_op(const OpRequest&) { return std::make_unique<ConcatOp>(); }

}  // namespace millrace
