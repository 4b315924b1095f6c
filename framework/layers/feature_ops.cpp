#include <ATen/ops/clamp_min.h>
#include <ATen/ops/threshold_backward.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

#include <algorithm>
#include <cmath>

#include "framework/layers/dropout.hpp"
#include "framework/layers/fully_connected.hpp"
#include "framework/layers/ops.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

/// Slices of wide layers begin at whole vectors; of others that would change their size too much.
constexpr std::int64_t kVector = 16, kWide = 2048;

/// The element of a dimension at which a part of it ends.
std::int64_t element_at(double part, std::int64_t whole) {
  if (part >= 1) return whole;
  const std::int64_t unit = whole >= kWide ? kVector : 1;
  const auto units = std::llround(part * static_cast<double>(whole) / static_cast<double>(unit));
  return std::min<std::int64_t>(whole, units * unit);
}

/// Elements [begin, begin + size) of a dimension.
struct Range {
  std::int64_t begin = 0, size = 0;

  Range(FeatureSlice slice, std::int64_t whole)
      : begin(element_at(slice.begin, whole)), size(element_at(slice.end, whole) - begin) {}

  at::Tensor of(const at::Tensor& tensor, std::int64_t dimension) const {
    return tensor.narrow(dimension, begin, size);
  }
};

class FeatureOpBase : public FeatureOp {
 public:
  std::vector<ParameterSlot>& parameters() override { return parameters_.slots(); }
  void clear_gradients() override { parameters_.clear(); }

 protected:
  Parameters parameters_;
};

/// The rows of W of a slice; see layer_op.hpp.
class LinearSlice final : public FeatureOpBase {
 public:
  LinearSlice(const Layer& layer, const LayerFacts& facts, FeatureSlice slice)
      : rows_(slice, facts.output_shape[0]), columns_(slice, facts.input_shape[0]) {
    parameters_ = Parameters(layer.name, *layer.module.ptr());
    weight_ = parameters()[0].value;
    for (ParameterSlot& slot : parameters()) slot.value = rows_.of(slot.value, 0);
    parameters()[0].deferred = true;
  }

  void forward(const at::Tensor& x, at::Tensor& y, const DrawKey& key, bool,
               Saved* saved) override {
    if (saved) *saved = save_input(x, key);
    const auto& slots = parameters();
    multiply_forward(x, slots[0].value, slots[0].precision,
                     slots.size() > 1 ? slots[1].value : at::Tensor(), false, rows_.of(y, 1));
  }

  void backward(const at::Tensor& dy, at::Tensor& dx, Saved& saved, bool input_gradient) override {
    const at::Tensor own = rows_.of(dy, 1);
    if (parameters().size() > 1) parameters_.add_column_sums(1, own);
    defer_gradient(parameters()[0], saved, own);
    if (input_gradient)
      multiply_backward(dy, columns_.of(weight_, 1), parameters()[0].precision, columns_.of(dx, 1));
  }

 private:
  Range rows_, columns_;
  at::Tensor weight_;  ///< whole: the input gradient reads all rows
};

class ReluSlice final : public FeatureOpBase {
 public:
  ReluSlice(const LayerFacts& facts, FeatureSlice slice) : columns_(slice, facts.input_shape[0]) {}

  void forward(const at::Tensor& x, at::Tensor& y, const DrawKey&, bool, Saved* saved) override {
    at::Tensor out = columns_.of(y, 1);
    at::clamp_min_out(out, columns_.of(x, 1), 0);
    if (saved) *saved = {out};
  }

  void backward(const at::Tensor& dy, at::Tensor& dx, Saved& saved, bool input_gradient) override {
    const at::Tensor y = std::move(saved[0]);
    saved.clear();
    if (!input_gradient) return;
    at::Tensor out = columns_.of(dx, 1);
    at::threshold_backward_out(out, columns_.of(dy, 1), y, 0);
  }

 private:
  Range columns_;
};

class DropoutSlice final : public FeatureOpBase {
 public:
  DropoutSlice(const LayerFacts& facts, double p, int layer_index, FeatureSlice slice)
      : columns_(slice, facts.input_shape[0]), dropout_{layer_index, p} {}

  void forward(const at::Tensor& x, at::Tensor& y, const DrawKey& key, bool training,
               Saved* saved) override {
    at::Tensor out = columns_.of(y, 1);
    const at::Tensor in = columns_.of(x, 1);
    if (!training) {
      if (!out.is_alias_of(in)) out.copy_(in);
      return;
    }
    const at::Tensor keep = drop(dropout_, key, columns_.begin, in, out);
    if (saved) *saved = {keep};
  }

  void backward(const at::Tensor& dy, at::Tensor& dx, Saved& saved, bool input_gradient) override {
    const at::Tensor keep = std::move(saved[0]);
    saved.clear();
    if (!input_gradient) return;
    drop_gradient(dropout_, keep, columns_.of(dy, 1), columns_.of(dx, 1));
  }

 private:
  Range columns_;
  Dropout dropout_;
};

}  // namespace

std::unique_ptr<FeatureOp> make_feature_op(const Layer& layer, const LayerFacts& facts,
                                           int layer_index, FeatureSlice slice) {
  MILLRACE_CHECK(can_split_features(facts), "layers",
                 "layer " + layer.name + " cannot be divided by features");
  const auto module = layer.module.ptr();
  if (facts.type == "linear") return std::make_unique<LinearSlice>(layer, facts, slice);
  if (facts.type == "relu") return std::make_unique<ReluSlice>(facts, slice);
  return std::make_unique<DropoutSlice>(facts, module->as<torch::nn::Dropout>()->options.p(),
                                        layer_index, slice);
}

}  // namespace millrace
