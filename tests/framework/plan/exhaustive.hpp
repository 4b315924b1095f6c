#pragma once
// The planner's oracle: every plan of a small instance, costed from the text of docs/costs.md with
// none of the planner's code, and simulated.

#include <cstdint>
#include <limits>
#include <optional>

#include "millrace/plan.hpp"
#include "millrace/profile.hpp"

namespace millrace::oracle {

struct Best {
  /// ns per step; objective period: in the steady state. Absent: no plan is feasible.
  std::optional<double> score_ns;
  /// RAM of the smallest plan that keeps each device's own budget, whatever the shared one.
  double least_bytes = std::numeric_limits<double>::infinity();
  std::int64_t plans = 0;
};

/// Of graphs with more layers the ways to recompute some of them are too many: only all or none.
constexpr std::size_t kMostRecomputed = 7;

/// Layers must be named as NaiveCosts says.
Best exhaust(const Profile& profile, const PlanRequest& request);

}  // namespace millrace::oracle
