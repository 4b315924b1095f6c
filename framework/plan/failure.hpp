#pragma once
// Why no plan is feasible, and which request would be.

#include "framework/plan/search.hpp"
#include "millrace/plan.hpp"

namespace millrace {

/// `reserved_bytes`: what the caller keeps for the batches that are decoded ahead, and has taken
/// off the request's memory. REQUIRES: search(model, make_space(request, profile)) found nothing.
PlanFailure explain_failure(const CostModel& model, const PlanRequest& request,
                            double reserved_bytes = 0);

/// The least RAM of any plan in the space that keeps every device's own budget; infinity where
/// there is none. Replicas only add gradients, and samples in flight only activations, so plans of
/// one device per stage and the smallest micro-batch are enough.
double least_bytes(const CostModel& model, const SearchSpace& space);

}  // namespace millrace
