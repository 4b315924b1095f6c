#pragma once
// What a request allows, checked and in the search's terms.

#include <string>
#include <vector>

#include "framework/plan/search.hpp"
#include "millrace/plan.hpp"

namespace millrace {

/// Throws ConfigError (tag "plan") for a request that no costs could satisfy: batch 0, a
/// micro-batch above the batch, an unknown schedule or kind, a CPU twice, …
void check_request(const PlanRequest& request, const Profile& profile);

/// The part of it that needs no costs: `layer` takes statistics of the whole batch.
void check_micro_batch(const PlanRequest& request, const std::string& layer);

/// CPU numbers of the devices of each kind of the profile: those of the request, at most as many as
/// the profile counts; kinds that it does not name are numbered from 0 on, past those in use.
std::vector<std::vector<int>> device_numbers(const PlanRequest& request, const Profile& profile);

std::vector<int> device_counts(const std::vector<std::vector<int>>& numbers);

/// The smaller of the profile's shared budget and the request's.
std::optional<double> memory_budget(const PlanRequest& request, const Profile& profile);

SearchSpace make_space(const PlanRequest& request, const Profile& profile,
                       const SecondsClock& clock = {});

}  // namespace millrace
