// What networks of token ids have beside linear layers: embedding, layer normalisation, GELU.

#include <ATen/ops/embedding.h>
#include <ATen/ops/embedding_dense_backward.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/native_layer_norm_backward.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/normalization.h>

#include <utility>

#include "framework/layers/ops.hpp"
#include "millrace/sequence.hpp"

namespace millrace {
namespace {

class EmbeddingOp final : public SingleInputOp {
 public:
  explicit EmbeddingOp(const Layer& layer)
      : SingleInputOp(OutputUse::free, Parameters(layer.name, *layer.module.ptr())) {}

  at::Tensor forward(const at::Tensor& ids, const DrawKey&, bool, Saved* saved, bool) override {
    if (saved) *saved = {ids};
    return at::embedding(parameters()[0].value, ids);
  }

  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool) override {
    const at::Tensor ids = std::move(saved[0]);
    saved.clear();
    const std::int64_t vocabulary = parameters()[0].value.size(0);
    parameters_.add(0, at::embedding_dense_backward(dy, ids, vocabulary, -1, false));
    return {};  // ids have no gradient
  }
};

class PlaceEmbeddingOp final : public SingleInputOp {
 public:
  explicit PlaceEmbeddingOp(const Layer& layer)
      : SingleInputOp(OutputUse::free, Parameters(layer.name, *layer.module.ptr())) {}

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool, Saved*,
                     bool may_overwrite_input) override {
    const at::Tensor places = parameters()[0].value.narrow(0, 0, x.size(1));
    return may_overwrite_input ? at::Tensor(x).add_(places) : x + places;
  }

  at::Tensor backward(const at::Tensor& dy, Saved&, bool input_gradient) override {
    const auto [gradient, beta] = parameters_.target(0);
    at::Tensor used = gradient.narrow(0, 0, dy.size(1));
    if (beta == 0) gradient.zero_();
    used.add_(dy.sum(0));
    return input_gradient ? dy : at::Tensor();
  }
};

class LayerNormOp final : public SingleInputOp {
 public:
  LayerNormOp(const Layer& layer, const torch::nn::LayerNormOptions& options)
      : SingleInputOp(OutputUse::free, Parameters(layer.name, *layer.module.ptr())),
        shape_(options.normalized_shape()),
        epsilon_(options.eps()) {}

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool, Saved* saved, bool) override {
    auto [y, mean, scale] = at::native_layer_norm(x, shape_, value(0), value(1), epsilon_);
    if (saved) *saved = {x, mean, scale};
    return y;
  }

  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) override {
    const Saved kept = std::exchange(saved, {});
    const bool learns = !parameters().empty();
    const auto [dx, dw, db] =
        at::native_layer_norm_backward(dy, kept[0], shape_, kept[1], kept[2], value(0), value(1),
                                       {input_gradient, learns, learns});
    if (learns) {
      parameters_.add(0, dw);
      parameters_.add(1, db);
    }
    return dx;
  }

 private:
  c10::optional<at::Tensor> value(std::size_t i) {
    return parameters().empty() ? c10::nullopt : c10::make_optional(parameters()[i].value);
  }

  std::vector<std::int64_t> shape_;
  double epsilon_;
};

class GeluOp final : public SingleInputOp {
 public:
  explicit GeluOp(std::string approximation)
      : SingleInputOp(OutputUse::free), approximation_(std::move(approximation)) {}

  at::Tensor forward(const at::Tensor& x, const DrawKey&, bool, Saved* saved, bool) override {
    if (saved) *saved = {x};
    return at::gelu(x, approximation_);
  }

  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) override {
    const at::Tensor x = std::move(saved[0]);
    saved.clear();
    return input_gradient ? at::gelu_backward(dy, x, approximation_) : at::Tensor();
  }

 private:
  std::string approximation_;
};

}  // namespace

std::unique_ptr<LayerOp> make_embedding_op(const OpRequest& request) {
  const auto* module = request.layer.module.ptr()->as<torch::nn::EmbeddingImpl>();
  if (!module) return nullptr;
  const auto& options = module->options;
  const bool plain = !options.padding_idx() && !options.max_norm() &&
                     !options.scale_grad_by_freq() && !options.sparse();
  return plain ? std::make_unique<EmbeddingOp>(request.layer) : nullptr;
}

std::unique_ptr<LayerOp> make_place_embedding_op(const OpRequest& request) {
  if (!request.layer.module.ptr()->as<PlaceEmbeddingImpl>()) return nullptr;
  return std::make_unique<PlaceEmbeddingOp>(request.layer);
}

std::unique_ptr<LayerOp> make_layer_norm_op(const OpRequest& request) {
  const auto* module = request.layer.module.ptr()->as<torch::nn::LayerNormImpl>();
  if (!module) return nullptr;
  return std::make_unique<LayerNormOp>(request.layer, module->options);
}

std::unique_ptr<LayerOp> make_gelu_op(const OpRequest& request) {
  const auto* module = request.layer.module.ptr()->as<torch::nn::GELUImpl>();
  if (!module) return nullptr;
  return std::make_unique<GeluOp>(module->options.approximate());
}

}  // namespace millrace
