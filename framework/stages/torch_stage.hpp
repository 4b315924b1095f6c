#pragma once
// One stage on LibTorch tensors, as the executor drives it.

#include <cstdint>
#include <memory>
#include <vector>

#include "framework/stages/loss.hpp"
#include "framework/stages/rows.hpp"
#include "framework/stages/stage_parameters.hpp"
#include "framework/stages/step_context.hpp"
#include "framework/stages/team.hpp"
#include "framework/stages/worker_chain.hpp"
#include "millrace/plan.hpp"
#include "millrace/stage.hpp"

namespace millrace {

/// Of an output that goes to the loss.
struct StageLoss {
  double weight = 1;
  bool main = true;  ///< the model's output; else an auxiliary one, for training alone
};

/// What a stage is made of.
struct StageDesign {
  PlanStage plan;
  bool first = true;
  LossFunction loss;                            ///< of the model
  std::vector<StageLoss> losses;                ///< as borders.losses
  std::vector<std::vector<ChainLayer>> layers;  ///< by worker
  ChainBorders borders;
  std::unique_ptr<Team> team;
};

class TorchStage final : public StageRunner {
 public:
  /// `context` outlives the stage.
  TorchStage(StageDesign design, const OptimizerSettings& optimizer, const OptimizerState& kept,
             const StepContext& context);

  /// Before each step: no call is running.
  void begin_step();

  int workers() const override { return static_cast<int>(workers_.size()); }
  void enter(int worker) override;
  Payload forward(int worker, int micro_batch, const std::vector<Payload>& inputs) override;
  Payload backward(int worker, int micro_batch, const std::vector<Payload>& gradients) override;
  Payload input_gradient(int worker, int micro_batch,
                         const std::vector<Payload>& gradients) override;
  void weight_gradient(int worker, int micro_batch) override;
  /// Waits for the stage's last backward pass; the gradients are summed where they are used, in
  /// update() and here, where clipping needs their norm.
  void reduce(int worker) override;
  void update(int worker) override;
  std::int64_t waited_ns() const override { return Barrier::waited_ns(); }
  void cancel() override;
  void reset() override;

  /// Of the step that ran, the stage's part: over the rows of all workers, in a fixed order, each
  /// loss by its weight.
  double loss_sum() const;
  std::int64_t correct() const;
  /// Sum of the squared gradients, where reduce() was told to make it.
  double squared_norm() const;
  void measure_norm(bool wanted) { measure_norm_ = wanted; }

  const StageParameters& parameters() const { return parameters_; }

 private:
  struct Worker {
    WorkerChain chain;
    std::vector<std::vector<RowsLoss>> losses;  ///< by micro-batch, as losses_
    double squared_norm = 0;
    bool has_updated = false;
  };

  WorkerRows rows_of_worker(int worker, int micro_batch) const;
  Payload backward(int worker, int micro_batch, const std::vector<Payload>& gradients,
                   WeightGradients weights);
  void finish(Worker& worker, const WorkerRows& rows, const std::vector<at::Tensor>& outputs);
  RowsLoss weighted_loss(const StageLoss& loss, const WorkerRows& rows,
                         const at::Tensor& outputs) const;

  PlanStage plan_;
  bool first_;
  LossFunction loss_;
  std::vector<StageLoss> losses_;
  std::unique_ptr<Team> team_;
  const StepContext* context_;
  std::vector<Worker> workers_;
  StageParameters parameters_;
  bool measure_norm_ = false;
};

}  // namespace millrace
