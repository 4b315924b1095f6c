#pragma once
// A plan tried on the run's own data, before the estimate: what layers measured one by one cannot
// tell is in it, decoding, hand-over, cold caches, other processes.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "controller/session.hpp"
#include "millrace/estimate.hpp"

namespace millrace {

struct RehearsalSettings {
  double steps_ns = 0;                   ///< full steps are tried for so long, some at least
  std::filesystem::path folder;          ///< a file is there for a moment
  std::function<std::int64_t()> now_ns;  ///< empty: the steady clock
};

/// How long to try the steps of a run that is expected to take `run_ns`, and how many at least.
double rehearsed_ns(double run_ns);
inline constexpr int kLeastTriedSteps = 2;

/// Trains, evaluates and saves for the time of it: before the session's first step, which begins as
/// it would have begun. Throws what the session throws, ResourceError where `folder` cannot be
/// written to.
Rehearsal rehearse(TrainingSession& session, const RehearsalSettings& settings);

/// A step alone, so that the run's first one does not take the memory that it needs.
void warm_up(TrainingSession& session);

/// What the plan does, about, without what was predicted of it: by that its rehearsal is found
/// again, whatever speed the cores and how much memory the machine had when it was made.
Plan without_predictions(Plan plan);

/// One JSON object. from: throws ConfigError (tag "rehearsal") naming `origin`.
std::string to_json(const Rehearsal& rehearsal);
Rehearsal rehearsal_from_json(const std::string& text, const std::string& origin);

}  // namespace millrace
