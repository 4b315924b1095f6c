#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <torch/nn/modules/conv.h>

#include <variant>

#include "framework/layers/ops.hpp"

namespace millrace {
namespace {

struct Geometry {
  std::vector<std::int64_t> stride, padding, dilation;
  std::int64_t groups = 1;
};

/// x [n, c, h, w] -> y [n, k, h', w']
class ConvOp final : public OpBase {
 public:
  ConvOp(const Layer& layer, Geometry geometry, at::MemoryFormat layout)
      : OpBase(OutputUse::free, Parameters(layer.name, *layer.module.ptr())),
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

  Geometry geometry_;
  at::MemoryFormat layout_;
};

}  // namespace

std::unique_ptr<LayerOp> make_conv_op(const Layer& layer, const LayerFacts&, int,
                                      at::MemoryFormat layout) {
  const auto* conv = layer.module.ptr()->as<torch::nn::Conv2d>();
  if (!conv) return nullptr;
  const auto* padding = c10::get_if<torch::ExpandingArray<2>>(&conv->options.padding());
  if (!padding || !c10::get_if<torch::enumtype::kZeros>(&conv->options.padding_mode()))
    return nullptr;
  const auto values = [](const torch::ExpandingArray<2>& pair) {
    return std::vector<std::int64_t>(pair->begin(), pair->end());
  };
  return std::make_unique<ConvOp>(
      layer,
      Geometry{values(conv->options.stride()), values(*padding), values(conv->options.dilation()),
               conv->options.groups()},
      layout);
}

}  // namespace millrace
