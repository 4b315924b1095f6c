#pragma once
// What a run would take on fewer cores or with other batches, and which plan a deadline needs.
// Pure values.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "millrace/estimate.hpp"
#include "millrace/plan.hpp"
#include "millrace/profile.hpp"

namespace millrace {

/// Whole numbers from 1 on, "1..8", "1,2,4" or both, ascending, each once. Throws ConfigError (tag
/// "usage") naming `flag`.
std::vector<int> parse_counts(const std::string& flag, const std::string& text);

/// Whether devices of the kind are cores of the CPU.
bool is_core(const DeviceKind& kind);
int core_count(const Profile& profile);

/// By kind of the profile: how many devices are left where only `cores` cores are, those of the
/// first kinds, which are the fastest. Devices that are no cores all stay.
std::vector<int> fastest_cores(const Profile& profile, int cores);

/// The costs of a machine that has so many devices of each kind; kinds of which it has none are
/// left out. REQUIRES: a count for each kind, none above the profile's.
Profile limited_to(Profile profile, const std::vector<int>& counts);

/// The best plan for so many cores and so many samples of a step, and what a run takes under it.
struct PlanOption {
  int cores = 0;
  std::int64_t batch = 0;
  std::optional<Plan> plan;  ///< absent: none is feasible
  std::string why_not;
  Estimate estimate;
  /// Speed, of `cores` times the speed of the best plan for one core with this batch; absent where
  /// there is none.
  std::optional<double> efficiency_percent;
};

/// PlanOption::efficiency_percent of a plan for `cores` cores.
double efficiency_percent(const Estimate& one_core, const Estimate& estimate, int cores);

/// The option whose latest time is within `left_ns` with the fewest cores; of those with equally
/// many, the one that is done first. Absent where none is in time.
std::optional<std::size_t> fewest_cores_in_time(const std::vector<PlanOption>& options,
                                                double left_ns);

/// The option whose run is expected to be done first; absent where none has a plan.
std::optional<std::size_t> fastest_option(const std::vector<PlanOption>& options);

}  // namespace millrace
