#pragma once
// The layers of a stage as one of its workers runs them, in the order in which they stand in the
// model. Most layers are divided by samples: the worker computes its rows. Feature layers are
// divided by columns of activations that all workers share:
//
//   rows ── copy own rows ──▶ barrier ─▶ linear: own columns ─▶ relu: own columns ─▶ barrier ─▶ …
//   … ─▶ linear: own columns ─▶ barrier ─▶ rows
//
// and the same backwards. A barrier stands before what reads more than the worker itself wrote.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "framework/layers/layer_graph.hpp"
#include "framework/layers/layer_op.hpp"
#include "framework/stages/rows.hpp"
#include "framework/stages/team.hpp"

namespace millrace {

/// One layer of one worker: divided by samples (`op`) or by features (`slice`).
struct ChainLayer {
  int index = 0;  ///< in the model
  std::unique_ptr<LayerOp> op;
  std::unique_ptr<FeatureOp> slice;
  std::int64_t input_features = 0;  ///< of a slice
  std::int64_t output_features = 0;
  bool columns_only = false;   ///< a slice that reads its own columns alone (relu, dropout)
  bool recompute = false;      ///< what it saves is dropped, and made again before its backward
  bool training_only = false;  ///< as LayerFacts::training_only: runs in training alone
  std::vector<int> producers;  ///< as LayerFacts::producers
  int readers = 1;             ///< of its output, in all stages; the loss is one, too
  std::vector<bool> input_gradients;  ///< by input: something before it, in any stage, learns
  std::vector<at::Tensor> whole_parameters;  ///< of all slices together, in the slots' order

  std::vector<ParameterSlot>& parameters();
  void clear_gradients();
};

/// Values are named by who makes them: a layer's index in the model, or kSample.
struct ChainBorders {
  std::vector<int> inputs;   ///< made before the stage, read in it or behind it; ascending
  std::vector<int> outputs;  ///< made in the stage or before it, read behind it; ascending
  std::vector<int> losses;   ///< made in the stage, read by the loss; ascending
  /// Something that the value comes from learns, so that its gradient is needed.
  std::vector<bool> input_gradients, output_gradients;
  std::vector<bool> evaluated_inputs;  ///< not made for auxiliary outputs alone
};

/// Rows of what leaves a chain, or of the gradients that enter it there: by output and loss of its
/// borders. Undefined where there are no rows, or nobody needs it.
struct ChainEnds {
  std::vector<at::Tensor> outputs, losses;
};

/// Whether a backward pass makes the weights' gradients where that can wait.
enum class WeightGradients { now, later };

/// Not thread-safe: one worker's. Its workers meet at `team`, so all of them make the same calls in
/// the same order.
class WorkerChain {
 public:
  /// Layers in the model's order; `team` outlives the chain.
  WorkerChain(std::vector<ChainLayer> layers, ChainBorders borders, Team& team);

  std::vector<ChainLayer>& layers() { return layers_; }

  /// Clears the gradients and whatever an earlier step left.
  void begin_step(std::int64_t micro_batches, std::uint64_t seed, std::int64_t step);

  /// All stages have made the step's gradients.
  void end_step();

  /// Rows of the stage's ends from the same rows of its inputs. `training`: keeps what backward
  /// needs, and runs the layers that are for training only. Never writes into xs.
  ChainEnds forward(const WorkerRows& rows, std::vector<at::Tensor> xs, bool training);

  const ChainBorders& borders() const { return borders_; }

  /// Rows of the inputs' gradients from those of the ends, which it may write over; undefined
  /// where borders() says that none is needed, or rows.count is 0.
  std::vector<at::Tensor> backward(const WorkerRows& rows, ChainEnds dys,
                                   WeightGradients weights = WeightGradients::now);

  /// Those that the micro-batch's backward pass left for later.
  void weight_gradients(std::int64_t micro_batch);

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
  struct PartialGradient {
    Activation value;
    bool shared = false;  ///< as Gradient::shared
  };
  using NamedValues = std::vector<std::pair<int, Activation>>;
  struct Kept {
    std::vector<Saved> saved;             ///< by layer
    std::vector<NamedValues> run_inputs;  ///< by layer: of a run to recompute that it begins
    std::vector<std::pair<std::size_t, Saved>> weights;  ///< layers that wait, last one first
  };

  void find_releases();
  NamedValues run_inputs(std::size_t begin) const;
  void run(const WorkerRows& rows, std::size_t begin, std::size_t end, bool training, bool again);
  std::vector<Activation> take_inputs(std::size_t l);
  Activation forward_rows(const WorkerRows& rows, std::size_t l, DrawKey key, bool training,
                          Saved* saved);
  Activation forward_slice(const WorkerRows& rows, std::size_t l, const DrawKey& key, bool training,
                           Saved* saved);
  void backward_rows(const WorkerRows& rows, std::size_t l, PartialGradient dy,
                     WeightGradients weights);
  std::vector<at::Tensor> backward_op(Kept& kept, std::size_t l, const at::Tensor& dy,
                                      WeightGradients weights);
  void backward_slice(const WorkerRows& rows, std::size_t l, PartialGradient dy);
  void add_gradient(const WorkerRows& rows, int producer, PartialGradient part);
  std::vector<at::Tensor> rows_of_values(const WorkerRows& rows, const std::vector<int>& values);
  at::Tensor own_rows(const WorkerRows& rows, PartialGradient gradient);
  void recompute_run_to(const WorkerRows& rows, std::size_t l);

  bool begins_run(std::size_t l) const;
  std::size_t run_begin(std::size_t l) const;
  bool needs_backward(std::size_t l);

  Activation as_rows(const WorkerRows& rows, Activation a);
  Activation as_whole(const WorkerRows& rows, Activation a, std::int64_t features);
  at::Tensor next_buffer(std::int64_t samples, std::int64_t features);

  /// Of the value's place in values_ and gradients_.
  static std::size_t slot(int producer) { return static_cast<std::size_t>(producer - kSample); }
  int name(std::size_t l) const { return layers_[l].index; }
  /// Which of the stage's layers makes a value; -1: none, it comes from a stage before.
  int maker(int producer) const;

  std::vector<ChainLayer> layers_;
  ChainBorders borders_;
  std::vector<bool> may_overwrite_input_;   ///< by layer
  std::vector<std::vector<int>> releases_;  ///< by layer: values that nobody reads after it
  Team* team_;
  std::int64_t next_buffer_ = 0;
  std::uint64_t seed_ = 0;
  std::int64_t step_ = 0;
  std::vector<Kept> kept_;                                 ///< by micro-batch
  std::vector<Activation> values_;                         ///< of the pass that runs, by slot
  std::vector<std::optional<PartialGradient>> gradients_;  ///< the same
};

}  // namespace millrace
