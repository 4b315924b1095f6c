#pragma once
// Lower bounds of how long a set of devices needs for some of the layers, however they are cut and
// shared: what lets the search leave most candidates out.

#include <cstdint>
#include <memory_resource>
#include <vector>

#include "framework/plan/cost_model.hpp"

namespace millrace {

/// Device time of each layer on each kind at the very least, for a whole batch.
struct LeastWork {
  int kinds = 0;
  std::vector<double> compute_ns;  ///< [position * kinds + kind]; infinity: cannot run it
  std::vector<double> update_ns;
  std::vector<double> back_ns;  ///< of LeastTimes; empty where it is compute_ns
};

/// With micro-batches of `micro_batch` samples, whatever the split and the shares, which are at
/// most as large; sole: in plans of one stage.
LeastWork least_work(const CostModel& model, std::int64_t batch, std::int64_t micro_batch,
                     bool sole, const BackwardForms& forms = {});

/// By duality: with weights w_k >= 0 and sum over the devices of w = 1, the latest device is busy
/// at least as long as the weighted mean, so T >= sum over layers of min over kinds of w_k x work.
/// Any weights give a bound; these are close to the best for all layers together.
class BalanceBound {
 public:
  explicit BalanceBound(std::pmr::memory_resource* memory)
      : weights_(memory), compute_(memory), total_(memory), back_(memory), missing_(memory) {}

  /// Chooses the weights of every state.
  void choose_weights(const CostModel& model, const LeastWork& work);
  /// Sums for the work of another batching, with the same weights.
  void set_work(const CostModel& model, const LeastWork& work);

  /// What total_ns (or compute_ns) would be for all layers on `state`, without set_work.
  double whole_ns(const CostModel& model, const LeastWork& work, int state, bool with_update) const;

  /// Forward and backward of what cut `last` has more than `first`, for a whole batch on `state`,
  /// ns; infinity where it cannot run.
  double compute_ns(int state, int first, int last) const {
    return range(compute_, state, first, last);
  }
  /// Of that what comes before the last gradient is handed back.
  double back_ns(int state, int first, int last) const {
    return range(back_.empty() ? compute_ : back_, state, first, last);
  }
  /// compute_ns with the update.
  double total_ns(int state, int first, int last) const {
    return range(total_, state, first, last);
  }

 private:
  double range(const std::pmr::vector<double>& sums, int state, int first, int last) const;
  void add_up(const CostModel& model, const LeastWork& work, int state);
  void improve_weights(const CostModel& model, const LeastWork& work, int state);

  int kinds_ = 0;
  std::size_t stride_ = 0;
  std::pmr::vector<double> weights_;          // [state][kind]
  std::pmr::vector<double> compute_, total_;  // [state][cut], sums
  std::pmr::vector<double> back_;             // the same; empty where it is compute_
  std::pmr::vector<int> missing_;             // [state][cut], layers that no kind can run
};

}  // namespace millrace
