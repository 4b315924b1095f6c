#pragma once
// What a few steps that were tried say of those that follow.

#include <vector>

namespace millrace {

struct TriedSteps {
  double mean_ns = 0;      ///< expected of the steps that follow
  double spread = 0;       ///< deviation of a step by itself, as a part of the mean
  double uncertainty = 0;  ///< deviation of the mean of those that follow, as a part of it
};

/// Uncertainty beyond which a latest time of 99 % is a tenth above the expected one: no close
/// promise.
inline constexpr double kNoisy = 0.043;

/// `expected_spread`: that of a step, before any was seen. REQUIRES: a step.
TriedSteps tried_steps(const std::vector<double>& steps_ns, double expected_spread);

}  // namespace millrace
