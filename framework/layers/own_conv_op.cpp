#include <ATen/ops/empty.h>
#include <torch/nn/modules/conv.h>

#include "framework/layers/conv_geometry.hpp"
#include "framework/layers/ops.hpp"
#include "kernels/convolution/direct.hpp"
#include "kernels/convolution/winograd.hpp"

namespace millrace {
namespace {

/// x [n, c, h, w] -> y [n, k, h', w'], both channels-last, by a convolution of kernels/.
template <typename Kernel>
class OwnConvOp final : public OpBase {
 public:
  OwnConvOp(const Layer& layer, const kernels::ConvolutionShape& sample)
      : OpBase(OutputUse::free, Parameters(layer.name, *layer.module.ptr())), sample_(sample) {}

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool, Saved* saved, bool) override {
    const at::Tensor input = readable(x);
    if (saved) *saved = {input};
    const kernels::ConvolutionShape shape = shape_of(x);
    at::Tensor y = empty_image(shape.n, shape.filters, shape.out_height(), shape.out_width());
    const float* bias = parameters().size() > 1 ? parameters()[1].value.data_ptr<float>() : nullptr;
    with_kernel(shape, [&](const Kernel& kernel, float* workspace) {
      kernel.forward(view(input), weight(), bias, false, y.data_ptr<float>(), workspace);
    });
    return y;
  }

  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) override {
    const at::Tensor x = std::move(saved[0]);
    saved.clear();
    const kernels::ConvolutionShape shape = shape_of(x);
    const at::Tensor gradient = dy.contiguous(at::MemoryFormat::ChannelsLast);
    const auto* g = gradient.data_ptr<float>();
    auto [dw, beta] = parameters_.target(0);
    float* db =
        parameters().size() > 1 ? parameters_.target(1).gradient.data_ptr<float>() : nullptr;
    at::Tensor dx;
    if (input_gradient) dx = empty_image(shape.n, shape.channels, shape.height, shape.width);
    with_kernel(shape, [&, dw = dw, beta = beta](const Kernel& kernel, float* workspace) {
      kernel.weight_gradient(view(x), g, beta > 0, dw.data_ptr<float>(), db, workspace);
      if (input_gradient) kernel.input_gradient(g, weight(), dx.data_ptr<float>(), workspace);
    });
    return dx;
  }

 private:
  /// A strided convolution rearranges its input anyway, so it reads any layout.
  at::Tensor readable(const at::Tensor& x) const {
    return sample_.stride_y > 1 ? x : x.contiguous(at::MemoryFormat::ChannelsLast);
  }
  static kernels::ImageView view(const at::Tensor& x) {
    return {x.data_ptr<float>(), x.stride(0), x.stride(2), x.stride(3), x.stride(1)};
  }
  static at::Tensor empty_image(std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w) {
    return at::empty({n, c, h, w}, at::kFloat, at::MemoryFormat::ChannelsLast);
  }
  const float* weight() { return parameters()[0].value.data_ptr<float>(); }
  kernels::ConvolutionShape shape_of(const at::Tensor& x) const {
    kernels::ConvolutionShape shape = sample_;
    shape.n = x.size(0);
    return shape;
  }

  /// The workspace comes from the thread's cached blocks, so the layers share it.
  template <typename Work>
  static void with_kernel(const kernels::ConvolutionShape& shape, const Work& work) {
    const auto kernel = Kernel::make(shape);
    const at::Tensor workspace = at::empty({kernel->workspace_floats()}, at::kFloat);
    work(*kernel, workspace.data_ptr<float>());
  }

  kernels::ConvolutionShape sample_;
};

/// Empty where conv_geometry() is.
std::optional<kernels::ConvolutionShape> shape_of_sample(const Layer& layer,
                                                         const LayerFacts& facts) {
  const auto geometry = conv_geometry(layer);
  if (!geometry) return std::nullopt;
  const at::Tensor weight = layer.module.ptr()->as<torch::nn::Conv2d>()->weight;
  return conv_shape(*geometry, facts, weight.sizes());
}

template <typename Kernel>
bool serves(const Layer& layer, const LayerFacts& facts) {
  const auto shape = shape_of_sample(layer, facts);
  return shape && Kernel::make(*shape).has_value();
}

}  // namespace

bool has_direct(const Layer& layer, const LayerFacts& facts) {
  return serves<kernels::DirectConvolution>(layer, facts);
}

bool has_winograd(const Layer& layer, const LayerFacts& facts) {
  return serves<kernels::Winograd>(layer, facts);
}

std::unique_ptr<LayerOp> make_direct_op(const Layer& layer, const LayerFacts& facts, int,
                                        at::MemoryFormat) {
  return std::make_unique<OwnConvOp<kernels::DirectConvolution>>(layer,
                                                                 *shape_of_sample(layer, facts));
}

std::unique_ptr<LayerOp> make_winograd_op(const Layer& layer, const LayerFacts& facts, int,
                                          at::MemoryFormat) {
  return std::make_unique<OwnConvOp<kernels::Winograd>>(layer, *shape_of_sample(layer, facts));
}

}  // namespace millrace
