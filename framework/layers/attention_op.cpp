#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>

#include <cmath>

#include "framework/layers/ops.hpp"
#include "kernels/causal_softmax/causal_softmax.hpp"
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
    const at::Tensor kept =
        saved ? at::empty({n, heads_, positions, positions}, x.options()) : at::Tensor();
    for_each_head(n, [&](std::int64_t sample, std::int64_t h) {
      const Head head = head_of(x[sample], h);
      at::Tensor shares = saved ? kept[sample][h] : at::empty({positions, positions}, x.options());
      at::mm_out(shares, head.queries, head.keys.t());
      kernels::causal_softmax_cpu(shares.data_ptr<float>(), positions, scale(head));
      at::Tensor result = columns(y[sample], h);
      at::mm_out(result, shares, head.values);
    });
    if (saved) *saved = {x, kept};
    return y;
  }

  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) override {
    const at::Tensor x = std::move(saved[0]), shares = std::move(saved[1]);
    saved.clear();
    if (!input_gradient) return {};
    const at::Tensor dx = at::empty(x.sizes(), x.options());
    for_each_head(x.size(0), [&](std::int64_t sample, std::int64_t h) {
      backward_of(head_of(x[sample], h), shares[sample][h], columns(dy[sample], h),
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

  static float scale(const Head& head) {
    return static_cast<float>(1 / std::sqrt(static_cast<double>(head.queries.size(1))));
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
    const at::Tensor d_scores = at::mm(dy, head.values.t());
    kernels::causal_softmax_gradient_cpu(shares.data_ptr<float>(), d_scores.data_ptr<float>(),
                                         shares.size(0), scale(head));
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
