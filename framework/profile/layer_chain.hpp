#pragma once
// The model's layers in order, run and timed as a training step runs them: forward through all,
// backward through all, update. Timing whole passes gives every layer the caches and the memory
// traffic that it has in training; a layer timed alone in a loop would find its weights in cache.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "framework/layers/layer_graph.hpp"
#include "framework/layers/layer_op.hpp"
#include "framework/profile/choose_implementations.hpp"
#include "framework/profile/measuring.hpp"
#include "millrace/model.hpp"

namespace millrace {

/// Ns on the steady clock.
double steady_ns();

/// Copies of a model's parameters with a momentum each, so that measuring changes no weight of the
/// caller. Chains on several cores share one, as replicas share the weights.
class ScratchWeights {
 public:
  explicit ScratchWeights(const Model& model);

 private:
  friend class LayerChain;
  std::map<std::string, at::Tensor> values_, momenta_;  // by parameter name
};

/// Not thread-safe; runs on the calling thread and its OpenMP team.
class LayerChain {
 public:
  /// `model` and `weights` must outlive the chain, and `replicas`: the other chains that compute
  /// parts of the same batch at the same time; null: there is none.
  LayerChain(const Model& model, const std::vector<LayerFacts>& facts, const ChainChoice& choice,
             ScratchWeights& weights, Replicas* replicas = nullptr);

  /// Called before each layer, outside the measured times; may throw to end the pass.
  using BeforeLayer = std::function<void(std::size_t layer)>;

  enum class Backward {
    whole,
    apart,  ///< in its two parts: each layer's second one right behind its first
  };

  /// Forward and backward of `samples` samples. `accumulate` adds to the weight gradients of the
  /// pass before, as the later micro-batches of a step do.
  PassTimes forward_backward(std::int64_t samples, bool accumulate, const BeforeLayer& before = {},
                             Backward backward = Backward::whole);

  /// Appends to `times` the update by SGD with momentum of part `part` of `parts` of every
  /// parameter, which forms the deferred gradients of the last pass; the chains of one
  /// ScratchWeights take different parts at the same time.
  void update(PassTimes& times, int part = 0, int parts = 1);

  /// By number of samples of a pass, and layer: most bytes that LibTorch's allocator handed out
  /// while the layer ran, beyond what was in use before (backward, which leaves out the gradients
  /// that it makes; update) or stays in use (forward). Means something only where no other thread
  /// allocates.
  const WorkspaceBytes& workspace_bytes() const { return workspace_bytes_; }

 private:
  class WatchedMemory;
  /// Of one pass, by producer + 1.
  using Values = std::vector<at::Tensor>;
  using Gradients = std::vector<Gradient>;

  void note_workspace(std::size_t l, double bytes);
  const at::Tensor& input(std::int64_t samples);
  std::vector<at::Tensor> inputs_of(std::size_t l, Values& values) const;
  struct PartTimes {
    double first_ns = 0, second_ns = 0;
  };
  PartTimes run_backward(std::size_t l, Saved& saved, Gradients& gradients, Backward backward);

  const Model& model_;
  std::vector<std::unique_ptr<LayerOp>> ops_;
  std::vector<std::vector<int>> producers_;  // by layer
  std::vector<int> last_reader_;             // by producer + 1
  std::vector<bool> ends_;                   // by layer: its output goes to the loss
  std::vector<bool> may_overwrite_input_;    // by layer
  std::vector<std::vector<bool>> input_gradients_;
  ScratchWeights& weights_;
  at::Tensor input_;
  WorkspaceBytes workspace_bytes_;
  std::vector<double>* workspace_ = nullptr;  // of the last pass's number of samples
};

}  // namespace millrace
