#pragma once
// Lower bounds of how long stages take, by the devices that each has: samples are shared in whole
// numbers, and the few of a share take longer each.

#include <cstdint>
#include <map>
#include <memory_resource>
#include <vector>

#include "framework/plan/layer_bound.hpp"

namespace millrace {

/// Of pipelines. Not thread-safe; the model outlives it.
class StageBound {
 public:
  StageBound(const CostModel& model, std::pmr::memory_resource* memory)
      : model_(model), kept_(memory), own_(memory), any_(memory) {}

  /// Until the next time all is for this batching, of which forms.early_weights says how many
  /// weights' gradients are early. REQUIRES: always the same batch, and the same forms for one size
  /// of micro-batches, here and in whole_trip().
  void set(const Batching& batching, const BackwardForms& forms);

  /// One stage on exactly `state` with what cut `last` has more than `first`.
  LeastStage own(int state, int first, int last) const {
    return own_[index(state, last)] - own_[index(state, first)];
  }
  /// Whatever stages of devices of `state`, together.
  LeastPassage any(int state, int first, int last) const {
    return any_[index(state, last)] - any_[index(state, first)];
  }
  /// All layers on two stages or more, for whatever batching; takes no time and memory for cuts,
  /// and keeps what set() needs again where that is little.
  RoundTrip whole_trip(const Batching& batching, const BackwardForms& forms);

 private:
  using Layers = std::pmr::vector<LeastStage>;  // [position][state]

  std::size_t index(int state, int cut) const {
    return static_cast<std::size_t>(state) * stride_ + static_cast<std::size_t>(cut);
  }
  Layers layers(const Batching& batching, const BackwardForms& forms);
  Layers make_layers(const Batching& batching, const BackwardForms& forms) const;
  template <typename Least>
  void add_up(const std::pmr::vector<Least>& layers, std::pmr::vector<Least>& sums) const;

  const CostModel& model_;
  std::size_t stride_ = 0;
  std::pmr::map<std::int64_t, Layers> kept_;  // by the samples of a full micro-batch
  std::pmr::vector<LeastStage> own_;          // [state][cut], sums
  std::pmr::vector<LeastPassage> any_;        // the same
};

}  // namespace millrace
