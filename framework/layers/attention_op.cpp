#include <ATen/Parallel.h>
#include <ATen/ops/_softmax.h>
#include <ATen/ops/_softmax_backward_data.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/mm.h>

#include <cmath>
#include <limits>

#include "framework/layers/ops.hpp"
#include "millrace/sequence.hpp"

namespace millrace {
namespace {

/// One head of one sample, views of its matrices: [positions, depth] each.
struct Head {
  at::Tensor queries, keys, values;
};

/// CausalAttention, each head of each sample by itself, so that the team shares them: batched
/// products of LibTorch run on one thread.
class AttentionOp final : public SingleInputOp {
 public:
  explicit AttentionOp(std::int64_t heads) : SingleInputOp(OutputUse::free), heads_(heads) {}

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool, Saved* saved, bool) override {
    const std::int64_t n = x.size(0), positions = x.size(1);
    const at::Tensor y = at::empty({n, positions, x.size(2) / 3}, x.options());
    const at::Tensor weights =
        saved ? at::empty({n, heads_, positions, positions}, x.options()) : at::Tensor();
    const at::Tensor later =
        at::full({positions, positions}, -std::numeric_limits<float>::infinity(), x.options())
            .triu(1);
    for_each_head(n, [&](std::int64_t sample, std::int64_t h) {
      const Head head = head_of(x[sample], h);
      const at::Tensor scores =
          at::addmm(later, head.queries, head.keys.t(), 1, scale(head.queries));
      const at::Tensor shares = at::_softmax(scores, -1, false);
      at::Tensor result = columns(y[sample], h);
      at::mm_out(result, shares, head.values);
      if (saved) weights[sample][h].copy_(shares);
    });
    if (saved) *saved = {x, weights};
    return y;
  }

  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) override {
    const at::Tensor x = std::move(saved[0]), weights = std::move(saved[1]);
    saved.clear();
    if (!input_gradient) return {};
    const at::Tensor dx = at::empty(x.sizes(), x.options());
    for_each_head(x.size(0), [&](std::int64_t sample, std::int64_t h) {
      backward_of(head_of(x[sample], h), weights[sample][h], columns(dy[sample], h),
                  head_of(dx[sample], h));
    });
    return dx;
  }

 private:
  template <typename Work>
  void for_each_head(std::int64_t samples, const Work& work) const {
    at::parallel_for(0, samples * heads_, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) work(i / heads_, i % heads_);
    });
  }

  static double scale(const at::Tensor& queries) {
    return 1 / std::sqrt(static_cast<double>(queries.size(1)));
  }

  at::Tensor columns(const at::Tensor& rows, std::int64_t h) const {
    const std::int64_t depth = rows.size(1) / heads_;
    return rows.narrow(1, h * depth, depth);
  }

  Head head_of(const at::Tensor& x, std::int64_t h) const {
    const std::int64_t width = x.size(1) / 3;
    const auto part = [&](std::int64_t i) { return columns(x.narrow(1, i * width, width), h); };
    return {part(0), part(1), part(2)};
  }

  /// What `to`'s matrices get: the gradients of `head`'s.
  static void backward_of(const Head& head, const at::Tensor& shares, const at::Tensor& dy,
                          Head to) {
    at::mm_out(to.values, shares.t(), dy);
    const at::Tensor d_scores =
        at::_softmax_backward_data(at::mm(dy, head.values.t()), shares, -1, at::kFloat)
            .mul_(scale(head.queries));
    at::mm_out(to.queries, d_scores, head.keys);
    at::mm_out(to.keys, d_scores.t(), head.queries);
  }

  std::int64_t heads_;
};

}  // namespace

std::unique_ptr<LayerOp> make_attention_op(const OpRequest& request) {
  const auto* module = request.layer.module.ptr()->as<CausalAttentionImpl>();
  if (!module) return nullptr;
  return std::make_unique<AttentionOp>(module->heads());
}

}  // namespace millrace
