#pragma once
// What the implementations of the layers share; the factory (layer_op.cpp) is their only user.

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

#include "framework/layers/implementation_names.hpp"
#include "framework/layers/layer_op.hpp"
#include "kernels/matrix/precision.hpp"
#include "millrace/model.hpp"

namespace millrace {

/// Whether a linear layer's implementation is kOwn in either precision.
bool is_own_linear(const std::string& implementation);

/// Whether a sample has channels, rows and columns, so that there is a channels-last layout.
bool is_image(const LayerFacts& facts);

/// What an image's layer reads and writes under `implementation`.
at::MemoryFormat layout_of(const std::string& implementation);

/// Parameters of an op, in the module's order.
class Parameters {
 public:
  /// Slots for `module`'s own parameters, named `layer.NAME`, detached from autograd.
  Parameters(const std::string& layer, const torch::nn::Module& module);
  Parameters() = default;

  std::vector<ParameterSlot>& slots() { return slots_; }
  void clear();

  /// Adds `gradient` to slot i; the first one after clear() is taken over without a copy where it
  /// is contiguous.
  void add(std::size_t i, at::Tensor gradient);

  /// The gradient of slot i for an in-place update and the factor (0 or 1) of what it holds.
  struct Target {
    at::Tensor gradient;
    float beta = 0;
  };
  Target target(std::size_t i);

  /// Adds the sums of the columns of `rows` [n, elements of slot i], each row dense: the gradient
  /// of a bias.
  void add_column_sums(std::size_t i, const at::Tensor& rows);

 private:
  std::vector<ParameterSlot> slots_;
};

/// An op over Parameters; what has none leaves them empty.
class OpBase : public LayerOp {
 public:
  std::vector<ParameterSlot>& parameters() override { return parameters_.slots(); }
  std::vector<at::Tensor> input_gradient(const at::Tensor& dy, Saved& saved,
                                         const std::vector<bool>& input_gradients) override {
    std::vector<at::Tensor> dxs = backward(dy, saved, input_gradients);
    saved.clear();
    return dxs;
  }
  void weight_gradient(Saved&) override {}
  void clear_gradients() override { parameters_.clear(); }
  void end_step() override {}
  OutputUse output_use() const override { return output_use_; }
  bool writes_gradient() const override { return false; }
  bool meets_replicas() const override { return false; }

 protected:
  explicit OpBase(OutputUse output_use, Parameters parameters = {})
      : parameters_(std::move(parameters)), output_use_(output_use) {}

  Parameters parameters_;

 private:
  OutputUse output_use_;
};

/// An op with one input: LayerOp's contract, with x for xs.
class SingleInputOp : public OpBase {
 public:
  at::Tensor forward(at::TensorList xs, const DrawKey& key, bool training, Saved* saved,
                     bool may_overwrite_input) final {
    return forward(xs.front(), key, training, saved, may_overwrite_input);
  }
  std::vector<at::Tensor> backward(const at::Tensor& dy, Saved& saved,
                                   const std::vector<bool>& input_gradients) final {
    return {backward(dy, saved, input_gradients.front())};
  }

 protected:
  using OpBase::OpBase;
  virtual at::Tensor forward(const at::Tensor& x, const DrawKey& key, bool training, Saved* saved,
                             bool may_overwrite_input) = 0;
  virtual at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) = 0;
};

/// One whose backward comes apart: the same two parts, whether they run together or not.
class TwoPartOp : public SingleInputOp {
 public:
  std::vector<at::Tensor> input_gradient(const at::Tensor& dy, Saved& saved,
                                         const std::vector<bool>& input_gradients) final {
    const Kept kept{std::move(saved[0]), as_kept(dy)};
    saved = {kept.x, kept.dy};
    return {input_gradients.front() ? make_input_gradient(kept.x, kept.dy) : at::Tensor()};
  }
  void weight_gradient(Saved& saved) final {
    add_weight_gradient(saved[0], saved[1]);
    saved.clear();
  }

 protected:
  using SingleInputOp::SingleInputOp;

  /// The weights' gradient first: then x is free, and its storage may be dx's.
  at::Tensor backward(const at::Tensor& dy, Saved& saved, bool input_gradient) final {
    const Kept kept{std::move(saved[0]), as_kept(dy)};
    saved.clear();
    add_weight_gradient(kept.x, kept.dy);
    return input_gradient ? make_input_gradient(kept.x, kept.dy) : at::Tensor();
  }

  /// dy in the layout that both parts read.
  virtual at::Tensor as_kept(const at::Tensor& dy) const = 0;
  virtual at::Tensor make_input_gradient(const at::Tensor& x, const at::Tensor& dy) = 0;
  virtual void add_weight_gradient(const at::Tensor& x, const at::Tensor& dy) = 0;

 private:
  struct Kept {
    at::Tensor x, dy;
  };
};

struct OpRequest {
  const Layer& layer;
  const LayerFacts& facts;
  int layer_index = 0;
  at::MemoryFormat layout = at::MemoryFormat::Contiguous;
  kernels::Precision precision = kernels::Precision::fp32;
  Fusion fusion = {};
  Replicas* replicas = nullptr;
};

/// Each returns null where the layer's module is not of its kind, or has options that it does not
/// take; such a layer runs as a module.
using OpMaker = std::unique_ptr<LayerOp> (*)(const OpRequest&);
std::unique_ptr<LayerOp> make_conv_op(const OpRequest&);
std::unique_ptr<LayerOp> make_direct_op(const OpRequest&);
std::unique_ptr<LayerOp> make_winograd_op(const OpRequest&);
std::unique_ptr<LayerOp> make_linear_op(const OpRequest&);
std::unique_ptr<LayerOp> make_own_linear_op(const OpRequest&);
std::unique_ptr<LayerOp> make_max_pool_op(const OpRequest&);
std::unique_ptr<LayerOp> make_own_max_pool_op(const OpRequest&);
std::unique_ptr<LayerOp> make_avg_pool_op(const OpRequest&);
std::unique_ptr<LayerOp> make_adaptive_pool_op(const OpRequest&);
std::unique_ptr<LayerOp> make_relu_op(const OpRequest&);
std::unique_ptr<LayerOp> make_relu6_op(const OpRequest&);
std::unique_ptr<LayerOp> make_dropout_op(const OpRequest&);
std::unique_ptr<LayerOp> make_flatten_op(const OpRequest&);
std::unique_ptr<LayerOp> make_identity_op(const OpRequest&);
std::unique_ptr<LayerOp> make_batch_norm_op(const OpRequest&);
std::unique_ptr<LayerOp> make_add_op(const OpRequest&);
std::unique_ptr<LayerOp> make_concat_op(const OpRequest&);
std::unique_ptr<LayerOp> make_embedding_op(const OpRequest&);
std::unique_ptr<LayerOp> make_place_embedding_op(const OpRequest&);
std::unique_ptr<LayerOp> make_layer_norm_op(const OpRequest&);
std::unique_ptr<LayerOp> make_gelu_op(const OpRequest&);
std::unique_ptr<LayerOp> make_attention_op(const OpRequest&);

/// Whether the implementation of our own serves the layer.
bool has_direct(const Layer& layer, const LayerFacts& facts);
bool has_winograd(const Layer& layer, const LayerFacts& facts);
bool has_own_max_pool(const Layer& layer, const LayerFacts& facts);

/// Any module, through autograd within the layer. Throws ConfigError (tag "layers") naming the
/// layer where its module cannot be cloned.
std::unique_ptr<LayerOp> make_module_op(const Layer& layer);

}  // namespace millrace
