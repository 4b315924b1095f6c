#include <ATen/ops/empty_like.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/threshold_backward.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

#include "framework/layers/dropout.hpp"
#include "framework/layers/ops.hpp"

namespace millrace {
namespace {

class ReluOp final : public SingleInputOp {
 public:
  explicit ReluOp(const Fusion& fusion) : SingleInputOp(OutputUse::kept), fusion_(fusion) {}

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool, Saved* saved,
                     bool may_overwrite_input) override {
    at::Tensor y = x;
    if (!fusion_.forward_done) y = may_overwrite_input ? at::relu_(y) : at::relu(x);
    if (saved && !fusion_.backward_done) *saved = {y};
    return y;
  }

  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) override {
    const Saved kept = std::move(saved);
    saved.clear();
    if (!input_gradient) return {};
    if (fusion_.backward_done) return dy;
    at::Tensor dx = dy;
    return at::threshold_backward_out(dx, dy, kept[0], 0);
  }

  bool writes_gradient() const override { return !fusion_.backward_done; }

 private:
  Fusion fusion_;
};

/// Inverted dropout; the bytes of the mask are kept, one per element.
class DropoutOp final : public SingleInputOp {
 public:
  /// Its output is kept: outside training it is the input, which may be a neighbour's.
  DropoutOp(double p, int layer_index) : SingleInputOp(OutputUse::kept), dropout_{layer_index, p} {}

  at::Tensor forward(const at::Tensor& x, const DrawKey& key, bool training, Saved* saved,
                     bool may_overwrite_input) override {
    if (!training) return x;
    const at::Tensor input = x.contiguous();
    at::Tensor y = may_overwrite_input ? input : at::empty_like(input);
    const at::Tensor keep = drop(dropout_, key, 0, input, y);
    if (saved) *saved = {keep};
    return y;
  }

  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) override {
    const at::Tensor keep = std::move(saved[0]);
    saved.clear();
    if (!input_gradient) return {};
    at::Tensor dx = dy.contiguous();
    drop_gradient(dropout_, keep, dx, dx);
    return dx;
  }

  bool writes_gradient() const override { return true; }

 private:
  Dropout dropout_;
};

/// y is x in another shape, without the batch dimension `shape`.
class ReshapeOp final : public SingleInputOp {
 public:
  explicit ReshapeOp(const LayerFacts& facts)
      : SingleInputOp(OutputUse::same_as_x),
        input_shape_(with_batch(facts.input_shape)),
        output_shape_(with_batch(facts.output_shape)) {}

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool, Saved*, bool) override {
    return x.reshape(output_shape_);
  }
  at::Tensor backward(const at::Tensor& dy, Saved&, bool input_gradient) override {
    return input_gradient ? dy.reshape(input_shape_) : at::Tensor();
  }

 private:
  static std::vector<std::int64_t> with_batch(std::vector<std::int64_t> shape) {
    shape.insert(shape.begin(), -1);
    return shape;
  }

  std::vector<std::int64_t> input_shape_, output_shape_;
};

class IdentityOp final : public SingleInputOp {
 public:
  IdentityOp() : SingleInputOp(OutputUse::same_as_x) {}

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool, Saved*, bool) override { return x; }
  at::Tensor backward(const at::Tensor& dy, Saved&, bool input_gradient) override {
    return input_gradient ? dy : at::Tensor();
  }
};

}  // namespace

std::unique_ptr<LayerOp> make_relu_op(const OpRequest& request) {
  if (!request.layer.module.ptr()->as<torch::nn::ReLU>()) return nullptr;
  if (request.fusion.forward_done && request.fusion.backward_done) return make_identity_op(request);
  return std::make_unique<ReluOp>(request.fusion);
}

/// None of its own where nobody does its work.
std::unique_ptr<LayerOp> make_relu6_op(const OpRequest& request) {
  return request.fusion.forward_done ? make_identity_op(request) : nullptr;
}

std::unique_ptr<LayerOp> make_dropout_op(const OpRequest& request) {
  const auto* dropout = request.layer.module.ptr()->as<torch::nn::Dropout>();
  if (!dropout) return nullptr;
  return std::make_unique<DropoutOp>(dropout->options.p(), request.layer_index);
}

std::unique_ptr<LayerOp> make_flatten_op(const OpRequest& request) {
  const auto* flatten = request.layer.module.ptr()->as<torch::nn::Flatten>();
  if (!flatten || flatten->options.start_dim() < 1) return nullptr;
  return std::make_unique<ReshapeOp>(request.facts);
}

std::unique_ptr<LayerOp> make_identity_op(const OpRequest&) {
  return std::make_unique<IdentityOp>();
}

}  // namespace millrace
