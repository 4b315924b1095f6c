#include <ATen/ops/empty.h>
#include <torch/nn/modules/pooling.h>

#include "framework/layers/ops.hpp"
#include "kernels/max_pool/max_pool.hpp"

namespace millrace {
namespace {

/// Max pooling by our own kernels: channels-last, one byte kept per output.
class OwnMaxPoolOp final : public SingleInputOp {
 public:
  OwnMaxPoolOp(const kernels::PoolShape& sample, bool relu)
      : SingleInputOp(OutputUse::free), sample_(sample), relu_(relu) {}

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool, Saved* saved, bool) override {
    const at::Tensor input = x.contiguous(at::MemoryFormat::ChannelsLast);
    const kernels::PoolShape shape = of_samples(x.size(0));
    at::Tensor y = at::empty({shape.n, shape.channels, shape.out_height, shape.out_width},
                             at::kFloat, at::MemoryFormat::ChannelsLast);
    at::Tensor from;
    if (saved) {
      from = at::empty({y.numel()}, at::kByte);
      *saved = {from};
    }
    kernels::max_pool_cpu(shape, input.data_ptr<float>(), relu_, y.data_ptr<float>(),
                          saved ? from.data_ptr<std::uint8_t>() : nullptr);
    return y;
  }

  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) override {
    const at::Tensor from = std::move(saved[0]);
    saved.clear();
    if (!input_gradient) return {};
    const at::Tensor gradient = dy.contiguous(at::MemoryFormat::ChannelsLast);
    const kernels::PoolShape shape = of_samples(dy.size(0));
    at::Tensor dx = at::empty({shape.n, shape.channels, shape.height, shape.width}, at::kFloat,
                              at::MemoryFormat::ChannelsLast);
    kernels::max_pool_gradient_cpu(shape, gradient.data_ptr<float>(), from.data_ptr<std::uint8_t>(),
                                   dx.data_ptr<float>());
    return dx;
  }

 private:
  kernels::PoolShape of_samples(std::int64_t n) const {
    kernels::PoolShape shape = sample_;
    shape.n = n;
    return shape;
  }

  kernels::PoolShape sample_;
  bool relu_;
};

}  // namespace

bool has_own_max_pool(const Layer& layer, const LayerFacts& facts) {
  if (!is_image(facts)) return false;
  const auto* pool = layer.module.ptr()->as<torch::nn::MaxPool2d>();
  return pool && pool->options.kernel_size()->at(0) * pool->options.kernel_size()->at(1) <=
                     kernels::kMostTaps;
}

std::unique_ptr<LayerOp> make_own_max_pool_op(const OpRequest& request) {
  const auto& options = request.layer.module.ptr()->as<torch::nn::MaxPool2d>()->options;
  return std::make_unique<OwnMaxPoolOp>(
      kernels::PoolShape{.height = request.facts.input_shape[1],
                         .width = request.facts.input_shape[2],
                         .channels = request.facts.input_shape[0],
                         .out_height = request.facts.output_shape[1],
                         .out_width = request.facts.output_shape[2],
                         .taps_y = options.kernel_size()->at(0),
                         .taps_x = options.kernel_size()->at(1),
                         .stride_y = options.stride()->at(0),
                         .stride_x = options.stride()->at(1),
                         .pad_y = options.padding()->at(0),
                         .pad_x = options.padding()->at(1),
                         .dilation_y = options.dilation()->at(0),
                         .dilation_x = options.dilation()->at(1)},
      request.fusion.relu_before);
}

}  // namespace millrace
