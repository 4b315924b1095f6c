#pragma once
// How fast each core is right now: a fixed piece of work, all cores at once.

#include <vector>

#include "framework/profile/core_rates.hpp"
#include "framework/profile/measuring.hpp"

namespace millrace {

/// Rounds per second of a matrix product and a memory pass on each of `cpus`, at the same time,
/// pinned, one thread each, for 0.1 s of wall time: work done over time passed, so that a core that
/// is throttled or shared shows it.
CoreRates probe_cores(const std::vector<int>& cpus);

/// The rates of a machine at rest: probes, and probes again while `doubtful` holds for the best
/// rate of each core so far, at most four times. A single disturbance thus does not look like a
/// slow core.
CoreRates settled_rates(const std::function<CoreRates()>& probe,
                        const std::function<bool(const CoreRates&)>& doubtful);

}  // namespace millrace
