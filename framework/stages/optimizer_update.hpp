#pragma once
// The optimizer on ranges of memory: one pass over weights, gradients and state.

#include <cstdint>
#include <vector>

#include "framework/layers/element_update.hpp"
#include "millrace/optimizer.hpp"

namespace millrace {

/// Elements of a parameter with what its update takes. The gradient of an element is the sum of
/// `gradients` (one per replica, at least one), in their order.
struct UpdateRange {
  float* value = nullptr;
  float* state1 = nullptr;  ///< momentum (SGD; null: none), exp_avg (AdamW)
  float* state2 = nullptr;  ///< exp_avg_sq (AdamW)
  std::vector<const float*> gradients;
  std::int64_t elements = 0;
};

/// `data` from element `elements` on; null stays null (no such state).
inline float* skipped(float* data, std::int64_t elements) {
  return data ? data + elements : nullptr;
}

/// element_update for a range, on the calling thread's OpenMP team.
void apply_update(const UpdateRange& range, const OptimizerSettings& settings, double learning_rate,
                  std::int64_t step, float scale);

/// Of the squared gradient of the range; the same bits for every team width.
double squared_sum(const UpdateRange& range);

}  // namespace millrace
