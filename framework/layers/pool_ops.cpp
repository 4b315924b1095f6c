#include <ATen/ops/_adaptive_avg_pool2d.h>
#include <ATen/ops/_adaptive_avg_pool2d_backward.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/avg_pool2d_backward.h>
#include <ATen/ops/max_pool2d_with_indices.h>
#include <ATen/ops/max_pool2d_with_indices_backward.h>
#include <torch/nn/modules/pooling.h>

#include "framework/layers/ops.hpp"

namespace millrace {
namespace {

using Pair = torch::ExpandingArray<2>;

/// x [n, c, h, w] -> y [n, c, h', w']; keeps the position of each maximum.
class MaxPoolOp final : public SingleInputOp {
 public:
  MaxPoolOp(const torch::nn::MaxPool2dOptions& options, at::MemoryFormat layout)
      : SingleInputOp(OutputUse::free), options_(options), layout_(layout) {}

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool, Saved* saved, bool) override {
    const at::Tensor input = x.contiguous(layout_);
    auto [y, indices] =
        at::max_pool2d_with_indices(input, options_.kernel_size(), options_.stride(),
                                    options_.padding(), options_.dilation(), options_.ceil_mode());
    if (saved) *saved = {input, indices};
    return y;
  }

  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) override {
    const Saved kept = std::move(saved);
    saved.clear();
    if (!input_gradient) return {};
    return at::max_pool2d_with_indices_backward(
        dy.contiguous(layout_), kept[0], options_.kernel_size(), options_.stride(),
        options_.padding(), options_.dilation(), options_.ceil_mode(), kept[1]);
  }

 private:
  torch::nn::MaxPool2dOptions options_;
  at::MemoryFormat layout_;
};

class AvgPoolOp final : public SingleInputOp {
 public:
  AvgPoolOp(const torch::nn::AvgPool2dOptions& options, at::MemoryFormat layout)
      : SingleInputOp(OutputUse::free), options_(options), layout_(layout) {}

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool, Saved* saved, bool) override {
    const at::Tensor input = x.contiguous(layout_);
    if (saved) *saved = {input};
    return at::avg_pool2d(input, options_.kernel_size(), options_.stride(), options_.padding(),
                          options_.ceil_mode(), options_.count_include_pad(),
                          options_.divisor_override());
  }

  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) override {
    const at::Tensor x = std::move(saved[0]);
    saved.clear();
    if (!input_gradient) return {};
    return at::avg_pool2d_backward(dy.contiguous(layout_), x, options_.kernel_size(),
                                   options_.stride(), options_.padding(), options_.ceil_mode(),
                                   options_.count_include_pad(), options_.divisor_override());
  }

 private:
  torch::nn::AvgPool2dOptions options_;
  at::MemoryFormat layout_;
};

class AdaptivePoolOp final : public SingleInputOp {
 public:
  AdaptivePoolOp(std::vector<std::int64_t> output_size, at::MemoryFormat layout)
      : SingleInputOp(OutputUse::free), output_size_(std::move(output_size)), layout_(layout) {}

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool, Saved* saved, bool) override {
    const at::Tensor input = x.contiguous(layout_);
    if (saved) *saved = {input};
    return at::_adaptive_avg_pool2d(input, output_size_);
  }

  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) override {
    const at::Tensor x = std::move(saved[0]);
    saved.clear();
    if (!input_gradient) return {};
    return at::_adaptive_avg_pool2d_backward(dy.contiguous(layout_), x);
  }

 private:
  std::vector<std::int64_t> output_size_;
  at::MemoryFormat layout_;
};

}  // namespace

std::unique_ptr<LayerOp> make_max_pool_op(const OpRequest& request) {
  const auto* pool = request.layer.module.ptr()->as<torch::nn::MaxPool2d>();
  if (!pool) return nullptr;
  return std::make_unique<MaxPoolOp>(pool->options, request.layout);
}

std::unique_ptr<LayerOp> make_avg_pool_op(const OpRequest& request) {
  const auto* pool = request.layer.module.ptr()->as<torch::nn::AvgPool2d>();
  if (!pool) return nullptr;
  return std::make_unique<AvgPoolOp>(pool->options, request.layout);
}

std::unique_ptr<LayerOp> make_adaptive_pool_op(const OpRequest& request) {
  if (!request.layer.module.ptr()->as<torch::nn::AdaptiveAvgPool2d>()) return nullptr;
  const std::vector<std::int64_t> output(request.facts.output_shape.end() - 2,
                                         request.facts.output_shape.end());
  if (request.facts.input_shape == request.facts.output_shape)  // each window is one element
    return make_identity_op(request);
  return std::make_unique<AdaptivePoolOp>(output, request.layout);
}

}  // namespace millrace
