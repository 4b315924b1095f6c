#pragma once
// Another plan for cores that have become faster or slower since their costs were measured.

#include <map>
#include <string>
#include <vector>

#include "millrace/train_step.hpp"

namespace millrace {

/// The cores of `base` that are on `machine` and, where `cores` lists CPUs by number, among them;
/// one CPU each.
std::vector<int> present_cpus(const MeasuredProfile& base, const Topology& machine,
                              const std::string& cores);

/// A plan of `settings` then takes at most `bytes`, beside what the caller keeps.
void limit_memory(TrainSettings& settings, std::int64_t bytes);

/// The best plan for the cores in `rates`, as fast as these say. Throws NoPlanError where none
/// fits.
PlanOffer offer_plan(const MeasuredProfile& base, const TrainSettings& settings,
                     const std::map<int, double>& rates);

}  // namespace millrace
