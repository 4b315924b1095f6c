#pragma once
// A plan tried on the run's own data, before the estimate: what layers measured one by one cannot
// tell is in it, decoding, hand-over, cold caches, other processes.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "controller/session.hpp"
#include "millrace/estimate.hpp"

namespace millrace {

struct RehearsalSettings {
  double run_ns = 0;                     ///< how long the run is expected to take
  std::filesystem::path folder;          ///< a file is there for a moment
  std::function<std::int64_t()> now_ns;  ///< empty: the steady clock
};

/// How long the steps of a run that is expected to take `run_ns` are tried: a tenth of it, two
/// seconds at most; on a noisy machine a tenth, eight seconds at most.
double rehearsed_ns(double run_ns, bool noisy = false);

/// The full steps of a plan that is tried, and whether they tell enough of a run that is expected
/// to take `run_ns`: they took rehearsed_ns(), are two at least, and their mean is sure
/// (controller/estimate/tried_steps.hpp) or they took as long as noise may make a rehearsal.
class StepTrial {
 public:
  explicit StepTrial(double run_ns)
      : ask_at_ns_(rehearsed_ns(run_ns)), most_ns_(rehearsed_ns(run_ns, /*noisy=*/true)) {}

  void add(double step_ns);
  /// Asked after each step: now and then it looks at all of them.
  bool tells_enough();
  const std::vector<double>& steps_ns() const { return steps_ns_; }
  double tried_ns() const { return tried_ns_; }

 private:
  std::vector<double> steps_ns_;
  double tried_ns_ = 0, ask_at_ns_, most_ns_;
};

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
