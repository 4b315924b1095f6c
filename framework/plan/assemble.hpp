#pragma once
// From the search's candidates to plans and back.

#include <vector>

#include "framework/plan/search.hpp"
#include "millrace/plan.hpp"

namespace millrace {

/// The plan of a candidate: names, CPU numbers (numbers[kind], taken in order), predicted times.
/// search, bound_ns, optimal and alternatives are left to the caller.
Plan assemble(const CostModel& model, const Candidate& candidate, Objective objective,
              const std::vector<std::vector<int>>& numbers);

/// The stages of a plan with their costs for a batching. Throws ConfigError (tag "plan") that names
/// the stage where the plan does not fit the costs (see check_plan in plan.hpp).
std::vector<StageOption> read_stages(const CostModel& model, const Plan& plan,
                                     const Batching& batching);

/// Names of the layers that Split::features divides.
std::vector<std::string> feature_layers(const CostModel& model, const StageShape& shape);

/// What was measured, for every layer of the stage whose costs name it.
std::map<std::string, Implementation> implementations(const CostModel& model,
                                                      const StageShape& shape,
                                                      const std::string& kind);

/// feature_shares of `stage`, which has its devices, for full micro-batches of `micro_batch`
/// samples; empty for devices of one kind.
std::vector<double> feature_shares(const CostModel& model, const StageShape& shape,
                                   const PlanStage& stage, std::int64_t micro_batch);

/// update_shares of `stage`, which has its devices and shares; empty for devices of one kind.
std::vector<double> update_shares(const CostModel& model, const StageShape& shape,
                                  const PlanStage& stage);

/// Fills what the costs say of a stage and of the whole plan, which has its devices.
void fill_predicted(const std::vector<StageOption>& stages, const Batching& batching, Plan& plan);

}  // namespace millrace
