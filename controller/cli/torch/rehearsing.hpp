#pragma once
// What estimate promises by: the plan tried, and kept for as long as a machine stays as it is, so
// that train promises the same.

#include <optional>

#include "controller/cli/torch/model_session.hpp"
#include "controller/cli/torch/what_if.hpp"
#include "millrace/estimate.hpp"

namespace millrace::cli {

/// The rehearsal of the session's plan for `run`, whose length says how long to try it: what the
/// cache folder keeps of the last minutes, or a new one. Warns of a machine that is too noisy for a
/// close latest time, and where it cannot be tried: empty.
std::optional<Rehearsal> rehearsed(ModelSession& session, const RunQuestion& run);

/// The one that is kept for such a run, if there is one: then the session's memory and threads are
/// there afterwards, as they were for the steps that were tried.
std::optional<Rehearsal> kept_rehearsal(ModelSession& session, const RunQuestion& run);

/// Keeps what a run of the session showed, in place of a rehearsal of its plan: of what goes on
/// within minutes nothing says more.
void keep_shown(const ModelSession& session, const RunConfig& config, const Rehearsal& shown);

}  // namespace millrace::cli
