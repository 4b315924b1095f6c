#pragma once
// The layers that can be divided by output features, each core computing its slice of every such
// layer for all samples, as the workers of a stage with the feature split do.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "framework/layers/layer_op.hpp"
#include "framework/profile/choose_implementations.hpp"
#include "framework/profile/core_team.hpp"
#include "framework/profile/layer_chain.hpp"
#include "framework/profile/measuring.hpp"
#include "millrace/model.hpp"

namespace millrace {

/// Not thread-safe.
class FeatureTeam {
 public:
  /// Slices 1 / cpus.size(), one per CPU. The model's weights are read only. `choice` are the
  /// implementations whose update was measured: where it does not form the weights' gradient, the
  /// backward pass does here.
  FeatureTeam(const Model& model, const std::vector<LayerFacts>& facts, const ChainChoice& choice,
              const std::vector<int>& cpus);

  /// Forward and backward of `samples` samples through all layers that can be divided: ns until the
  /// last core was ready with the layer, so waiting included; 0 for the other layers.
  /// `before` is called before each of them, outside the measured times.
  PassTimes pass(std::int64_t samples, const LayerChain::BeforeLayer& before = {});

 private:
  struct Buffers {
    at::Tensor x, y, dy, dx;  // [samples, features], shared by the members
  };
  struct Divided {
    std::size_t layer = 0;
    std::int64_t inputs = 0, outputs = 0;
    bool input_gradient = true, forms_gradients = false;
    std::vector<std::unique_ptr<FeatureOp>> ops;  // by member
    Buffers buffers;
  };
  void resize(std::int64_t samples);

  std::size_t layers_;
  std::int64_t samples_ = 0;
  std::vector<Divided> divided_;
  CoreTeam team_;
};

}  // namespace millrace
