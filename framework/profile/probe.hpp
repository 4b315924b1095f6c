#pragma once
// How fast each core is right now: a fixed piece of work, all cores at once.

#include <functional>
#include <vector>

#include "framework/profile/core_rates.hpp"
#include "framework/profile/measuring.hpp"

namespace millrace {

/// Rounds per second of a matrix product and a memory pass on each of `cpus`, at the same time,
/// pinned, one thread each, for 0.1 s of wall time: work done over time passed, so that a core that
/// is throttled or shared shows it.
CoreRates probe_cores(const std::vector<int>& cpus);

void pause_between_probes();

/// probe_cores(), which from the call behind kProbesOfSpeed on pauses before each: kProbesOfChange
/// take 8 s, longer than what passes.
std::function<CoreRates(const std::vector<int>& cpus)> patient_probe(
    std::function<void()> pause = pause_between_probes);

/// The rates now: of each core the median of three probes, so that one disturbance does not count.
CoreRates present_rates(const std::vector<int>& cpus);

/// How many probes it takes until a difference between cores is believed. Measured with other work
/// on a machine of two equal cores, the best of n probes differed by more than kKindTolerance in
/// 9.5 % of the trials with n = 4, 1.4 % with 12, none of 276 with 24; where virtual CPUs share
/// cores with others, one of two equal ones ran at 0.6 to 0.75 of the other for up to 5 s.
constexpr int kProbesOfChange = 24;
/// Of a machine that runs slower or faster as a whole.
constexpr int kProbesOfSpeed = 4;
/// Of either, where a training looks again and would begin at once.
constexpr int kProbesOfStart = 2;

/// The rates of a machine at rest: the best of each core in as many probes as `needed` says, asked
/// with the best so far; at least one.
CoreRates settled_rates(const std::function<CoreRates()>& probe,
                        const std::function<int(const CoreRates&)>& needed);

}  // namespace millrace
