#pragma once
// How well this machine can be foretold at all: a loop without anything of ours, foretold by its
// beginning as a training is by its rehearsal.

namespace millrace::cli {

/// Runs a loop of arithmetic on so many threads for `tried_seconds`, then for `seconds` more, and
/// returns by how much the second part took longer or less than the first one said.
double foretelling_error_percent(int threads, double tried_seconds, double seconds);

}  // namespace millrace::cli
