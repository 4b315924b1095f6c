#pragma once
// A model cut by a plan into stages that an executor runs, and the state of their training.
// Symbols as in plan.hpp: stage s, micro-batch m of b samples, replica r, layer l.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "framework/stages/stage_parameters.hpp"
#include "millrace/model.hpp"
#include "millrace/optimizer.hpp"
#include "millrace/plan.hpp"
#include "millrace/stage.hpp"
#include "millrace/state.hpp"

namespace millrace {

/// What a step came to, once it has run.
struct StepResults {
  std::int64_t samples = 0;
  double loss = 0;           ///< as StepReport's
  std::int64_t answers = 0;  ///< as StepReport's
  std::int64_t correct = 0;
  double gradient_norm = 0;  ///< global norm before clipping; 0 where clipping is off
};

/// The stages of one model. A step is: begin_…(), then every runner's actions as an executor calls
/// them (a micro-batch m holds samples m b … min(n, (m + 1) b) - 1 of a batch of n, so a batch has
/// ceil(n / b) of them), then results().
///
/// All workers share the model's weights; each has gradients of its own, summed over the workers in
/// a fixed order when the weights are updated, so that a step repeated gives the same bits.
/// Not thread-safe but for what the runners allow.
class StageSet {
 public:
  StageSet(StageSet&&) noexcept;
  StageSet& operator=(StageSet&&) noexcept;
  ~StageSet();

  /// One per stage, in order; they live as long as this.
  std::vector<StageRunner*> runners();

  /// A training step on a batch of n samples, `inputs` and `targets` as Batch has them;
  /// 1 <= n <= plan.batch. `step` decides masks and learning rate, which is 0 where nothing is to
  /// be learnt. The tensors must stay as they are until the step has run. Throws ConfigError (tag
  /// "batch") where they do not fit the model, naming both shapes, or a token id that is none.
  void begin_training(const at::Tensor& inputs, const at::Tensor& targets, std::int64_t step,
                      bool learns = true);

  /// Forward only, random layers off, nothing that auxiliary outputs alone need: loss and correct
  /// answers, or (prediction) outputs().
  void begin_evaluation(const at::Tensor& inputs, const at::Tensor& targets);
  void begin_prediction(const at::Tensor& inputs);

  StepResults results() const;
  /// [n, output shape] of the last prediction.
  at::Tensor outputs() const;

  /// Where true, clip_gradients() must run once between the last stage's reduce and the first
  /// one's update.
  bool clips_gradients() const;
  void clip_gradients();

  /// Weights, then "optimizer.momentum.NAME" (SGD with momentum) or "optimizer.exp_avg.NAME" and
  /// "optimizer.exp_avg_sq.NAME" (AdamW), in layer order: the same under every plan.
  std::vector<StateTensor> state();

  /// The optimizer's state becomes that of a new training.
  void forget_steps();

  /// What the optimizer keeps, for stages of the same model that take over.
  OptimizerState optimizer_state() const;

 private:
  struct Parts;
  friend StageSet build_stages(const Model&, const std::vector<LayerFacts>&, const Plan&,
                               const OptimizerSettings&, const LearningRateSchedule&, std::uint64_t,
                               const OptimizerState&);
  explicit StageSet(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

/// Cuts `model` by `plan`; `facts` are check_model's. `seed` is of the random layers' masks, `kept`
/// of earlier stages of the same model, which must be gone. The weights stay the model's own
/// tensors, updated in place. Throws ConfigError for settings out of
/// range, a plan whose layers are not the model's, or an unknown implementation.
StageSet build_stages(const Model& model, const std::vector<LayerFacts>& facts, const Plan& plan,
                      const OptimizerSettings& optimizer, const LearningRateSchedule& learning_rate,
                      std::uint64_t seed, const OptimizerState& kept = {});

}  // namespace millrace
