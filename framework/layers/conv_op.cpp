#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <torch/nn/modules/conv.h>

#include <array>
#include <optional>
#include <tuple>
#include <variant>

#include "framework/layers/conv_geometry.hpp"
#include "framework/layers/ops.hpp"

namespace millrace {
namespace {

/// x [n, c, h, w] -> y [n, k, h', w']
class ConvOp final : public TwoPartOp {
 public:
  ConvOp(const Layer& layer, ConvGeometry geometry, at::MemoryFormat layout)
      : TwoPartOp(OutputUse::free, Parameters(layer.name, *layer.module.ptr())),
        geometry_(std::move(geometry)),
        layout_(layout) {}

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool, Saved* saved, bool) override {
    const at::Tensor input = x.contiguous(layout_);
    if (saved) *saved = {input};
    return at::convolution(input, weight(), bias(), geometry_.stride, geometry_.padding,
                           geometry_.dilation, false, {0, 0}, geometry_.groups);
  }

 private:
  at::Tensor as_kept(const at::Tensor& dy) const override { return dy.contiguous(layout_); }

  at::Tensor make_input_gradient(const at::Tensor& x, const at::Tensor& dy) override {
    return std::get<0>(gradients(x, dy, {true, false, false}));
  }

  void add_weight_gradient(const at::Tensor& x, const at::Tensor& dy) override {
    auto [dx, dw, db] = gradients(x, dy, {false, true, bias().has_value()});
    parameters_.add(0, std::move(dw));
    if (bias()) parameters_.add(1, std::move(db));
  }

  /// Of input, weight and bias, those that are wanted.
  std::tuple<at::Tensor, at::Tensor, at::Tensor> gradients(const at::Tensor& x,
                                                           const at::Tensor& dy,
                                                           std::array<bool, 3> wanted) {
    return at::convolution_backward(
        dy, x, weight(), at::OptionalIntArrayRef(weight().sizes().slice(0, 1)), geometry_.stride,
        geometry_.padding, geometry_.dilation, false, {0, 0}, geometry_.groups, wanted);
  }

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
