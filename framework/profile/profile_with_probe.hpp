#pragma once
// profile_model() with the probe given: the seam by which tests make cores slow.

#include <functional>
#include <vector>

#include "framework/profile/core_rates.hpp"
#include "millrace/profiler.hpp"

namespace millrace {

/// Rates of the CPUs, as probe_cores() gives them.
using ProbeCores = std::function<CoreRates(const std::vector<int>& cpus)>;

MeasuredProfile profile_model(const Model& model, const Topology& topology,
                              const ProfileRequest& request, const ProbeCores& probe);

}  // namespace millrace
