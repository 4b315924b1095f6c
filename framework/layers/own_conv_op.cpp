#include <ATen/ops/empty.h>
#include <ATen/ops/threshold_backward.h>
#include <torch/nn/modules/conv.h>

#include "framework/layers/conv_geometry.hpp"
#include "framework/layers/ops.hpp"
#include "kernels/convolution/direct.hpp"
#include "kernels/convolution/winograd.hpp"

namespace millrace {
namespace {

/// x [n, c, h, w] -> y [n, k, h', w'], both channels-last, by a convolution of kernels/.
template <typename Kernel>
class OwnConvOp final : public TwoPartOp {
 public:
  OwnConvOp(const OpRequest& request, const kernels::ConvolutionShape& sample)
      : TwoPartOp(OutputUse::free, Parameters(request.layer.name, *request.layer.module.ptr())),
        sample_(sample),
        fusion_(request.fusion),
        precision_(request.precision) {}

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool, Saved* saved, bool) override {
    const at::Tensor input = readable(x);
    if (saved) *saved = {input};
    const kernels::ConvolutionShape shape = shape_of(x);
    at::Tensor y = empty_image(shape.n, shape.filters, shape.out_height(), shape.out_width());
    const float* bias = parameters().size() > 1 ? parameters()[1].value.data_ptr<float>() : nullptr;
    with_kernel(shape, [&](const Kernel& kernel, float* workspace) {
      kernel.forward(view(input), weight(), bias, fusion_.relu_behind, y.data_ptr<float>(),
                     workspace);
    });
    return y;
  }

 private:
  at::Tensor as_kept(const at::Tensor& dy) const override {
    return dy.contiguous(at::MemoryFormat::ChannelsLast);
  }

  void add_weight_gradient(const at::Tensor& x, const at::Tensor& dy) override {
    auto [dw, beta] = parameters_.target(0);
    float* db =
        parameters().size() > 1 ? parameters_.target(1).gradient.data_ptr<float>() : nullptr;
    with_kernel(shape_of(x), [&, dw = dw, beta = beta](const Kernel& kernel, float* workspace) {
      kernel.weight_gradient(view(x), dy.data_ptr<float>(), beta > 0, dw.data_ptr<float>(), db,
                             workspace);
    });
  }

  /// Over x, where nobody else has it.
  at::Tensor make_input_gradient(const at::Tensor& x, const at::Tensor& dy) override {
    const kernels::ConvolutionShape shape = shape_of(x);
    const bool fused = fusion_.relu_before && !strided();
    at::Tensor dx = !strided() && x.use_count() == 1 && x.storage().use_count() == 1
                        ? x
                        : empty_image(shape.n, shape.channels, shape.height, shape.width);
    with_kernel(shape, [&](const Kernel& kernel, float* workspace) {
      kernel.input_gradient(dy.data_ptr<float>(), weight(), fused ? x.data_ptr<float>() : nullptr,
                            dx.data_ptr<float>(), workspace);
    });
    if (fusion_.relu_before && !fused) at::threshold_backward_out(dx, dx, x, 0);
    return dx;
  }

  bool strided() const { return sample_.stride_y > 1 || sample_.stride_x > 1; }
  /// A strided convolution rearranges its input anyway, so it reads any layout.
  at::Tensor readable(const at::Tensor& x) const {
    return strided() ? x : x.contiguous(at::MemoryFormat::ChannelsLast);
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

  std::optional<Kernel> make_kernel(const kernels::ConvolutionShape& shape) const {
    if constexpr (std::is_same_v<Kernel, kernels::Winograd>)
      return Kernel::make(shape, fusion_.pooled_behind, precision_);
    else
      return Kernel::make(shape);
  }

  /// Made anew for another number of samples alone: in small layers that takes time.
  const Kernel& kernel_for(const kernels::ConvolutionShape& shape) {
    if (!kernel_ || kernel_samples_ != shape.n) kernel_.emplace(*make_kernel(shape));
    kernel_samples_ = shape.n;
    return *kernel_;
  }

  /// The workspace comes from the thread's cached blocks, so the layers share it.
  template <typename Work>
  void with_kernel(const kernels::ConvolutionShape& shape, const Work& work) {
    const Kernel& kernel = kernel_for(shape);
    const at::Tensor workspace = at::empty({kernel.workspace_floats()}, at::kFloat);
    work(kernel, workspace.data_ptr<float>());
  }

  kernels::ConvolutionShape sample_;
  Fusion fusion_;
  kernels::Precision precision_;
  std::optional<Kernel> kernel_;
  std::int64_t kernel_samples_ = 0;
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

template <typename Kernel>
std::unique_ptr<LayerOp> make_own(const OpRequest& request) {
  return std::make_unique<OwnConvOp<Kernel>>(request,
                                             *shape_of_sample(request.layer, request.facts));
}

}  // namespace

bool has_direct(const Layer& layer, const LayerFacts& facts) {
  return serves<kernels::DirectConvolution>(layer, facts);
}

bool has_winograd(const Layer& layer, const LayerFacts& facts) {
  return serves<kernels::Winograd>(layer, facts);
}

std::unique_ptr<LayerOp> make_direct_op(const OpRequest& request) {
  return make_own<kernels::DirectConvolution>(request);
}

std::unique_ptr<LayerOp> make_winograd_op(const OpRequest& request) {
  return make_own<kernels::Winograd>(request);
}

}  // namespace millrace
