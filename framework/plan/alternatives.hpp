#pragma once
// The plans that people would take without a search, predicted with the same costs.

#include <vector>

#include "framework/plan/search.hpp"
#include "millrace/plan.hpp"

namespace millrace {

/// "one core", "threads" and "even data parallel", each with its best micro-batch and schedule, and
/// "best single stage" where the plan is a pipeline. Values are comparable with `plan`'s: under the
/// objective period, per micro-batch of the plan.
std::vector<PlanAlternative> list_alternatives(const CostModel& model, const SearchSpace& space,
                                               const SearchResult& found, const Plan& plan);

}  // namespace millrace
