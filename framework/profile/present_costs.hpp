#pragma once
// What was measured, for cores that have become faster or slower since. Pure.

#include "framework/profile/core_rates.hpp"
#include "millrace/profiler.hpp"

namespace millrace {

/// `measured` for the cores in `now`: kinds formed again by their speed, times divided by the
/// change of the rate. As it was where the machine still has the same speed; cores that `now` lacks
/// are left out.
MeasuredProfile present_costs(const MeasuredProfile& measured, const CoreRates& now);

}  // namespace millrace
