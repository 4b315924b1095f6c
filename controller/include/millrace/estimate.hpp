#pragma once
// When the run will be done: expected and latest, before it starts and while it runs. Pure values.

#include <cstdint>
#include <vector>

#include "millrace/plan.hpp"
#include "millrace/profile.hpp"

namespace millrace {

struct TimeEstimate {
  double expected_ns = 0;
  double latest_ns = 0;  ///< not exceeded with probability `confidence`
};

struct Estimate {
  TimeEstimate step;
  TimeEstimate run;
  double confidence = 0.99;
  double images_per_second = 0;
};

/// What a run does besides its steps.
struct RunShape {
  std::int64_t steps = 0;
  std::int64_t last_step_samples = 0;  ///< smaller last batch of an epoch; 0: all are full
  std::int64_t short_steps = 0;        ///< how many steps have last_step_samples
  std::int64_t evaluated_samples = 0;  ///< over the whole run
  std::int64_t checkpoints = 0;
  double checkpoint_ns = 0;  ///< each
  double startup_ns = 0;
};

/// Expected: event simulation of the plan's step with median costs, and the loader where it is not
/// hidden. Latest: the bound for `confidence` (0.5 < confidence < 1) from the measured spread:
/// a part that moves all steps together and a part that averages out over them.
Estimate estimate_run(const Profile& profile, const Plan& plan, const RunShape& shape,
                      double confidence = 0.99);

/// Corrects an estimate on line as steps arrive. Not thread-safe.
class RemainingTime {
 public:
  RemainingTime(const Estimate& first, double confidence);

  void observe(double step_ns);
  /// Time left for `steps` more full steps and `other_ns` of everything else.
  TimeEstimate remaining(std::int64_t steps, double other_ns) const;
  std::int64_t observed() const { return static_cast<std::int64_t>(count_); }

 private:
  TimeEstimate prior_;
  double confidence_;
  double count_ = 0, mean_ns_ = 0, squares_ = 0;  // Welford
};

}  // namespace millrace
