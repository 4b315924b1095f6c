#pragma once
// What estimate and train promise by: the plan tried, and kept for as long as a machine stays as it
// is, so that both say the same.

#include <optional>

#include "controller/cli/torch/model_session.hpp"
#include "controller/cli/torch/what_if.hpp"
#include "millrace/estimate.hpp"

namespace millrace::cli {

/// The rehearsal of the session's plan for `run`, whose length says how long to try it: what the
/// cache folder keeps of the last minutes, or a new one. Either way the session's memory and
/// threads are there afterwards. Warns of a machine that is too noisy for a close latest time.
/// Empty where it cannot be tried; the training then says why.
std::optional<Rehearsal> rehearsed(ModelSession& session, const RunQuestion& run);

}  // namespace millrace::cli
