#pragma once
// How well this machine can be foretold at all: a loop without anything of ours, foretold by what
// it took before as a training is by its rehearsal.

#include <vector>

namespace millrace::cli {

constexpr double kTriedSeconds = 2;  ///< as long as a plan is tried on a quiet machine

/// By how much the mean of `steps_ns` differs from what `tried_ns` foretell, of the mean. Neither
/// is empty.
double foretelling_error_percent(const std::vector<double>& tried_ns,
                                 const std::vector<double>& steps_ns);

/// What each step took of a loop of arithmetic, in registers and over memory, that threads on these
/// CPUs (at least one) run together for `seconds`, once it has run for one; two steps at least.
/// Throws as bind_this_thread().
std::vector<double> loop_steps_ns(const std::vector<int>& cpus, double seconds);

/// foretelling_error_percent() of such a loop of `seconds` and of what it took for kTriedSeconds
/// right before.
double loop_error_percent(const std::vector<int>& cpus, double seconds);

}  // namespace millrace::cli
