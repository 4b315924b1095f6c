#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <torch/nn/modules/conv.h>

#include <optional>
#include <variant>

#include "framework/layers/conv_geometry.hpp"
#include "framework/layers/ops.hpp"

namespace millrace {
namespace {

/// x [n, c, h, w] -> y [n, k, h', w']
class ConvOp final : public SingleInputOp {
 public:
  ConvOp(const Layer& layer, ConvGeometry geometry, at::MemoryFormat layout)
      : SingleInputOp(OutputUse::free, Parameters(layer.name, *layer.module.ptr())),
        geometry_(std::move(geometry)),
        layout_(layout) {}

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool, Saved* saved, bool) override {
    const at::Tensor input = x.contiguous(layout_);
    if (saved) *saved = {input};
    return at::convolution(input, weight(), bias(), geometry_.stride, geometry_.padding,
                           geometry_.dilation, false, {0, 0}, geometry_.groups);
  }

  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) override {
    const at::Tensor x = std::move(saved[0]);
    saved.clear();
    auto [dx, dw, db] = at::convolution_backward(
        dy.contiguous(layout_), x, weight(), at::OptionalIntArrayRef(weight().sizes().slice(0, 1)),
        geometry_.stride, geometry_.padding, geometry_.dilation, false, {0, 0}, geometry_.groups,
        {input_gradient, true, bias().has_value()});
    parameters_.add(0, std::move(dw));
    if (bias()) parameters_.add(1, std::move(db));
    return dx;
  }

 private:
  const at::Tensor& weight() { return parameters()[0].value; }
  c10::optional<at::Tensor> bias() {
    if (parameters().size() < 2) return c10::nullopt;
    return parameters()[1].value;
  }

  ConvGeometry geometry_;
  at::MemoryFormat layout_;
};

}  // namespace

std::optional<ConvGeometry> conv_geometry(const Layer& layer) {
  const auto* conv = layer.module.ptr()->as<torch::nn::Conv2d>();
  if (!conv) return std::nullopt;
  const auto* padding = c10::get_if<torch::ExpandingArray<2>>(&conv->options.padding());
  if (!padding || !c10::get_if<torch::enumtype::kZeros>(&conv->options.padding_mode()))
    return std::nullopt;
  const auto values = [](const torch::ExpandingArray<2>& pair) {
    return std::vector<std::int64_t>(pair->begin(), pair->end());
  };
  return ConvGeometry{values(conv->options.stride()), values(*padding),
                      values(conv->options.dilation()), conv->options.groups()};
}

kernels::ConvolutionShape conv_shape(const ConvGeometry& geometry, const LayerFacts& facts,
                                     at::IntArrayRef weight) {
  return {.n = 1,
          .height = facts.input_shape[1],
          .width = facts.input_shape[2],
          .channels = facts.input_shape[0],
          .filters = weight[0],
          .taps_y = weight[2],
          .taps_x = weight[3],
          .stride_y = geometry.stride[0],
          .stride_x = geometry.stride[1],
          .pad_y = geometry.padding[0],
          .pad_x = geometry.padding[1],
          .dilation_y = geometry.dilation[0],
          .dilation_x = geometry.dilation[1],
          .groups = geometry.groups};
}

std::unique_ptr<LayerOp> make_conv_op(const OpRequest& request) {
  auto geometry = conv_geometry(request.layer);
  if (!geometry) return nullptr;
  return std::make_unique<ConvOp>(request.layer, std::move(*geometry), request.layout);
}

}  // namespace millrace
