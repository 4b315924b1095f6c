#pragma once
// How well this machine can be foretold at all: a loop without anything of ours, foretold by its
// beginning as a training is by its rehearsal.

#include <vector>

namespace millrace::cli {

/// By how much the mean of `steps_ns` differs from what `tried_ns` foretell, of the mean. Neither
/// is empty.
double foretelling_error_percent(const std::vector<double>& tried_ns,
                                 const std::vector<double>& steps_ns);

/// Runs a loop of arithmetic on so many threads for `tried_seconds`, then for `seconds` more, and
/// returns by how much the second part took longer or less than the first one said.
double foretelling_error_percent(int threads, double tried_seconds, double seconds);

}  // namespace millrace::cli
