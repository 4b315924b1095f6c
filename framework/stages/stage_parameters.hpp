#pragma once
// The parameters of a stage: which worker updates which elements, from whose gradients.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "framework/layers/deferred_gradient.hpp"
#include "framework/layers/layer_op.hpp"
#include "framework/stages/optimizer_update.hpp"
#include "framework/stages/step_context.hpp"
#include "millrace/state.hpp"

namespace millrace {

/// A parameter as the workers' ops hold it.
struct StageParameter {
  std::string name;
  at::Tensor value;  ///< whole
  /// One slot per worker, in order: of the whole parameter each, or of slices that together are it.
  std::vector<const ParameterSlot*> slots;
};

/// What an optimizer keeps of each weight: name as StageSet::state() has it -> tensor.
using OptimizerState = std::map<std::string, at::Tensor>;

/// The elements of all parameters are divided over the workers; each worker sums the
/// replicas' gradients of its elements (in the order of the workers) and updates them. Of a weight
/// whose gradient is deferred each worker takes a range of columns: it forms their gradient from
/// the products of all replicas, tile by tile, and updates each tile while it is in cache (a norm
/// takes forming them once more). A parameter without a gradient in a step stays as it is, as under
/// torch::optim. Distinct workers may call at the same time, once all backward passes are done.
class StageParameters {
 public:
  /// `shares`: part of the elements by worker, sum 1. The slots outlive this. `kept`: of these
  /// parameters, from which it goes on; zeros where there is none. Throws ConfigError (tag "model")
  /// for a parameter that is not dense float32.
  StageParameters(std::vector<StageParameter> parameters, const std::vector<double>& shares,
                  const OptimizerSettings& settings, const OptimizerState& kept = {});

  /// Sum of the squared gradients of the worker's elements.
  double squared_norm(int worker) const;
  void update(int worker, const StepContext& step);

  /// The first update is the first to write some of the optimizer's state.
  bool begins_state() const { return begins_state_; }

  std::vector<StateTensor> weights() const;
  std::vector<StateTensor> optimizer_state() const;
  /// The tensors themselves, for stages that go on from them.
  OptimizerState optimizer_tensors() const;

 private:
  /// Elements that one set of gradients covers.
  struct Segment {
    UpdateRange range;  ///< without gradients
    std::vector<const ParameterSlot*> slots;
  };
  /// A weight, or rows of it, whose gradient is deferred.
  struct DeferredSegment {
    Segment segment;
    std::vector<ColumnRange> columns;  ///< by worker
  };
  struct Piece {
    std::size_t segment = 0;
    std::int64_t begin = 0, end = 0;
  };
  struct Named {
    std::string prefix;  ///< "" for weights
    std::vector<at::Tensor> tensors;
  };

  std::size_t workers() const { return borders_.size() - 1; }
  void add_segments(const StageParameter& parameter, float* state1, float* state2);
  void add_deferred(Segment segment);
  void divide();
  /// Elements of the piece with the gradients of this step; none: nothing to do.
  UpdateRange range_of(const Piece& piece) const;
  void update_pieces(int worker, const StepContext& step);
  /// Calls work(range, gradient) for the worker's columns of every deferred weight with products.
  template <typename Work>
  void for_each_deferred(int worker, const Work& work) const;
  std::vector<StateTensor> views(const Named& named) const;

  std::vector<double> borders_;  ///< fractions of the elements: worker w begins at borders_[w]
  OptimizerSettings settings_;
  std::vector<std::string> names_;
  Named weights_;
  std::vector<Named> states_;
  bool begins_state_ = false;
  std::vector<Segment> segments_;
  std::vector<DeferredSegment> deferred_;
  std::vector<std::vector<Piece>> pieces_;  ///< by worker
};

}  // namespace millrace
