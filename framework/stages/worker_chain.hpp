#pragma once
// The layers of a stage as one of its workers runs them. Most layers are divided by samples: the
// worker computes its rows. Feature layers are divided by columns of activations that all workers
// share:
//
//   rows ── copy own rows ──▶ barrier ─▶ linear: own columns ─▶ relu: own columns ─▶ barrier ─▶ …
//   … ─▶ linear: own columns ─▶ barrier ─▶ rows
//
// and the same backwards. A barrier stands before what reads more than the worker itself wrote.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "framework/layers/layer_op.hpp"
#include "framework/stages/rows.hpp"
#include "framework/stages/team.hpp"

namespace millrace {

/// One layer of one worker: divided by samples (`op`) or by features (`slice`).
struct ChainLayer {
  std::unique_ptr<LayerOp> op;
  std::unique_ptr<FeatureOp> slice;
  std::int64_t input_features = 0;  ///< of a slice
  std::int64_t output_features = 0;
  bool columns_only = false;   ///< a slice that reads its own columns alone (relu, dropout)
  bool recompute = false;      ///< what it saves is dropped, and made again before its backward
  bool input_gradient = true;  ///< some layer before it, in this stage or an earlier one, learns
  std::vector<at::Tensor> whole_parameters;  ///< of all slices together, in the slots' order

  std::vector<ParameterSlot>& parameters();
  void clear_gradients();
};

/// Not thread-safe: one worker's. Its workers meet at `team`, so all of them make the same calls in
/// the same order.
class WorkerChain {
 public:
  /// `team` outlives the chain.
  WorkerChain(std::vector<ChainLayer> layers, Team& team);

  std::vector<ChainLayer>& layers() { return layers_; }

  /// Clears the gradients and whatever an earlier step left.
  void begin_step(std::int64_t micro_batches, std::uint64_t seed, std::int64_t step);

  /// Rows of the stage's output from the same rows of its input; both undefined where rows.count is
  /// 0. Keeps what backward needs where `training` is set. Never writes into x.
  at::Tensor forward(const WorkerRows& rows, const at::Tensor& x, bool training);

  /// Some layer here or before it has parameters, so backward reads the output's gradient.
  bool learns() { return needs_backward(layers_.size() - 1); }

  /// Rows of the input's gradient from those of the output's, which it may write over. Undefined
  /// where nothing before the stage learns, or rows.count is 0.
  at::Tensor backward(const WorkerRows& rows, const at::Tensor& dy);

 private:
  enum class Form {
    rows,     ///< the worker's own rows, undefined where it has none
    columns,  ///< shared by the workers, each of which has written its columns
    whole,    ///< shared and complete
  };
  struct Activation {
    at::Tensor tensor;
    Form form = Form::rows;
  };
  struct Kept {
    std::vector<Saved> saved;           ///< by layer
    std::vector<Activation> run_input;  ///< by layer: of the first one of a run to recompute
  };

  Activation run(const WorkerRows& rows, std::size_t begin, std::size_t end, Activation x,
                 bool training, bool save_all);
  Activation forward_rows(const WorkerRows& rows, std::size_t l, Activation x, bool training,
                          Saved* saved);
  Activation forward_slice(const WorkerRows& rows, std::size_t l, Activation x, bool training,
                           Saved* saved);
  Activation backward_rows(const WorkerRows& rows, std::size_t l, Activation dy);
  Activation backward_slice(const WorkerRows& rows, std::size_t l, Activation dy);
  void recompute_run_ending_at(const WorkerRows& rows, std::size_t l);

  bool begins_run(std::size_t l) const;
  bool ends_run(std::size_t l) const;
  bool needs_backward(std::size_t l);

  Activation as_rows(const WorkerRows& rows, Activation a);
  Activation as_whole(const WorkerRows& rows, Activation a, std::int64_t features);
  at::Tensor next_buffer(std::int64_t samples, std::int64_t features);
  DrawKey draws(std::int64_t first_sample) const { return {seed_, step_, first_sample}; }

  std::vector<ChainLayer> layers_;
  std::vector<bool> may_overwrite_input_;  ///< by layer
  Team* team_;
  std::int64_t next_buffer_ = 0;
  std::uint64_t seed_ = 0;
  std::int64_t step_ = 0;
  std::vector<Kept> kept_;  ///< by micro-batch
};

}  // namespace millrace
