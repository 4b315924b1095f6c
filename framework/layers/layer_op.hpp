#pragma once
// One layer as a stage or the profiler runs it: forward and backward apart, no autograd graph that
// outlives a layer, parameters that share the model's storage, gradients of its own.
// Shapes: x [n, in…] of each input, y [n, out…], n samples of a micro-batch's part.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "framework/layers/feature_slice.hpp"
#include "framework/layers/fusion.hpp"
#include "kernels/matrix/precision.hpp"

namespace millrace {

struct Layer;
struct LayerFacts;

/// Where random draws come from, so that every plan draws the same: a mask element is a function of
/// (seed, step, layer, sample index in the batch, element index) alone.
struct DrawKey {
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  std::int64_t first_sample = 0;  ///< index in the batch of row 0
  bool again = false;  ///< an earlier pass had the same samples: nothing is recorded of them
};

/// What forward keeps for backward.
using Saved = std::vector<at::Tensor>;

/// A part of a weight gradient that the update is to form: dy^T x of n rows, x [n, in] and
/// dy [n, out], float32, each row dense.
struct GradientProduct {
  std::int64_t first_sample = 0;  ///< index in the batch of row 0
  at::Tensor x, dy;
};

struct ParameterSlot {
  std::string name;  ///< "features.0.weight"
  at::Tensor value;  ///< shares storage with the model's parameter (a slice of it under features)
  at::Tensor gradient;  ///< of this op alone, summed since clear_gradients(); undefined: none yet
  /// The gradient of a weight [out, in] is left to the update (deferred_gradient.hpp): backward
  /// adds to `products`, and `gradient` stays undefined.
  bool deferred = false;
  std::vector<GradientProduct> products;  ///< since clear_gradients()
  /// Of a deferred weight: of all its products, these among them.
  kernels::Precision precision = kernels::Precision::fp32;
};

/// Whether the layer behind may write over an op's output.
enum class OutputUse {
  free,       ///< nobody reads it again
  kept,       ///< it is read again, by backward for one
  same_as_x,  ///< it is the input's storage: what holds for that holds for it
};

/// The replicas of a stage, as an op sees them that computes with all samples of a micro-batch.
class Replicas {
 public:
  virtual ~Replicas() = default;
  /// What every replica gives, by replica. Waits for all of them; each makes the same calls in the
  /// same order.
  virtual std::vector<std::vector<double>> gather(std::vector<double> own) = 0;
  /// One replica, always the same, keeps what all of them have found.
  virtual bool keeps_records() const = 0;
};

/// Not thread-safe; one op belongs to one worker. Ops of several workers share weight storage,
/// which only the optimizer writes.
class LayerOp {
 public:
  virtual ~LayerOp() = default;

  /// y = f(x0, x1, …), one x by LayerFacts::producers. Keeps what backward needs in `saved` where
  /// it is not null (null: evaluation, or a layer that will be recomputed). `training` switches
  /// random layers and batch statistics on. May reuse x0's storage for y where
  /// `may_overwrite_input` is set.
  virtual at::Tensor forward(at::TensorList xs, const DrawKey& key, bool training, Saved* saved,
                             bool may_overwrite_input) = 0;

  /// dx of each x from dy; adds the parameter gradients to parameters()[i].gradient or .products.
  /// Undefined where `input_gradients[i]` is false. May write over dy where writes_gradient(), keep
  /// it or return it, several times too. Frees `saved`.
  virtual std::vector<at::Tensor> backward(const at::Tensor& dy, Saved& saved,
                                           const std::vector<bool>& input_gradients) = 0;

  /// The first part of backward(), for schedules that run the two apart: leaves in `saved` what
  /// weight_gradient() needs, dy among it. Does all of it, and leaves nothing, where the op does
  /// not come apart. The same arithmetic as backward()'s, so the same bits.
  virtual std::vector<at::Tensor> input_gradient(const at::Tensor& dy, Saved& saved,
                                                 const std::vector<bool>& input_gradients) = 0;

  /// The second: adds the parameter gradients. Frees `saved`, which input_gradient() left.
  virtual void weight_gradient(Saved& saved) = 0;

  virtual std::vector<ParameterSlot>& parameters() = 0;

  /// Frees the gradients and the products: what the next backward adds to is nothing. What
  /// end_step() was to apply is forgotten.
  virtual void clear_gradients() = 0;

  /// The step's gradients are applied: so is what forward found beside them (running statistics).
  virtual void end_step() = 0;

  virtual OutputUse output_use() const = 0;

  /// backward() may write over dy.
  virtual bool writes_gradient() const = 0;

  /// Its replicas meet in forward() and backward(): one that has no samples calls all the same,
  /// with undefined tensors.
  virtual bool meets_replicas() const = 0;
};

/// Layers that can be divided by output features. In shared memory no gradient is reduced: forward
/// computes the rows of the slice, backward the columns of the input gradient that belong to the
/// slice of the *previous* layer, reading all of the (shared) weight.
///   linear:       y[:, rows] = x W[rows, :]^T + b[rows];  dx[:, cols] = dy W[:, cols];
///                 dW[rows, :] = dy[:, rows]^T x
///   elementwise (relu, dropout): on the columns of the slice
/// x and dy are whole ([n, all features]); y and dx are whole too, shared by the workers, and only
/// the slice is written. The caller synchronises the workers between layers. A weight's gradient is
/// deferred.
class FeatureOp {
 public:
  virtual ~FeatureOp() = default;
  virtual void forward(const at::Tensor& x, at::Tensor& y, const DrawKey& key, bool training,
                       Saved* saved) = 0;
  virtual void backward(const at::Tensor& dy, at::Tensor& dx, Saved& saved,
                        bool input_gradient) = 0;
  virtual std::vector<ParameterSlot>& parameters() = 0;
  virtual void clear_gradients() = 0;
};

/// The op of `layer`; `layer_index` is its position in the model (part of the draw key).
/// `implementation` names one of implementations_of(); "" takes the first. The first op of the
/// process installs the caching allocator (caching_allocator.hpp), so what is measured is what
/// runs. `fusion`: the layer's of fusions(). `replicas` outlives the op; null: there is no other.
/// Throws ConfigError (tag "layers") for a name that is not one of them.
std::unique_ptr<LayerOp> make_layer_op(const Layer& layer, const LayerFacts& facts, int layer_index,
                                       const std::string& implementation, const Fusion& fusion = {},
                                       Replicas* replicas = nullptr);

/// Computes in float32. Throws InternalError where can_split_features(facts) is false.
std::unique_ptr<FeatureOp> make_feature_op(const Layer& layer, const LayerFacts& facts,
                                           int layer_index, FeatureSlice slice);

/// Names of the implementations of a layer on this machine, LibTorch's own operator first.
std::vector<std::string> implementations_of(const Layer& layer, const LayerFacts& facts);

/// True for linear layers and the elementwise ones that may follow them on a slice.
bool can_split_features(const LayerFacts& facts);

/// Bytes per sample that a layer keeps for the update, which forms its weight gradient; 0 where the
/// implementation's backward does.
double deferred_bytes_per_sample(const LayerFacts& facts, const std::string& implementation);

/// Bytes per sample that a layer keeps from input_gradient() to weight_gradient(); 0 where its
/// backward does not come apart.
double weight_gradient_bytes_per_sample(const LayerFacts& facts, const std::string& implementation);

/// Bytes per sample that forward of layer l keeps for backward (its inputs, indices, masks). A relu
/// counts nothing where batch normalisation before it does its work, or a reader keeps what the
/// relu keeps, too: its output.
double saved_bytes_per_sample(const std::vector<LayerFacts>& layers, std::size_t l,
                              const std::string& implementation);

/// Elements first_element … first_element + elements - 1 of `rows` samples' masks of inverted
/// dropout, scaled: 0 or 1 / (1 - p); [rows, elements] float32. Counter based (Philox 4x32-10 on
/// the draw key), so it is the same under every plan.
at::Tensor dropout_mask(const DrawKey& key, int layer_index, std::int64_t rows,
                        std::int64_t first_element, std::int64_t elements, double p);

}  // namespace millrace
