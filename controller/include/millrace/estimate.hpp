#pragma once
// When the run will be done: expected and latest, before it starts and while it runs. Pure values.

#include <cstdint>
#include <optional>
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
  double common_spread = 0;  ///< deviation that all steps share, as a part of the expected time
  double step_spread = 0;    ///< deviation of each step by itself, as a part of the expected time
};

/// What a run does besides its steps.
struct RunShape {
  std::int64_t steps = 0;
  std::int64_t last_step_samples = 0;  ///< smaller last batch of an epoch; 0: all are full
  std::int64_t short_steps = 0;        ///< how many steps have last_step_samples
  std::int64_t evaluated_samples = 0;  ///< over the whole run
  std::int64_t checkpoints = 0;
  double checkpoint_ns = 0;  ///< each
};

/// What the plan of a run took when it was tried on the run's data, before the estimate.
struct Rehearsal {
  std::vector<double> steps_ns;  ///< full steps, in order, with all that they waited for; not empty
  double evaluation_ns = 0;      ///< of evaluated_samples
  std::int64_t evaluated_samples = 0;  ///< 0: none was tried
  double save_ns = 0;                  ///< for so long a checkpoint holds the training up

  bool operator==(const Rehearsal&) const = default;
};

/// Expected: event simulation of the plan's step with median costs; decoding fills the cores' idle
/// time first and what is left is shared by all cores, each by its kind's speed. Latest, for
/// confidence c (0.5 < c < 1; else ConfigError, tag "estimate"): with z the normal quantile of c
/// and N steps of mean t,
///   latest = N t + z sqrt( (N t common)^2 + N (t independent)^2 + (0.3 s)^2 ),
/// where `independent` is the layers' measured spread, `common` that and the simulation's error,
/// and s the time of the checkpoints, which only a small probe of the disk foretells. Of a plan
/// that was tried, steps and evaluations take what they took then (other batches in proportion to
/// the simulation), the spread is that of the steps tried, and `common` how little they, and the
/// machine's constancy, say of the mean.
Estimate estimate_run(const Profile& profile, const Plan& plan, const RunShape& shape,
                      double confidence = 0.99, const std::optional<Rehearsal>& tried = {});

/// Corrects an estimate on line as steps arrive: the mean step is a normal prior (the estimate)
/// updated by the steps observed, the recent ones counting most; the deviation likewise, with
/// Student's caution while there are few. Not thread-safe.
class RemainingTime {
 public:
  RemainingTime(const Estimate& first, double confidence);

  /// A full step that was measured.
  void observe(double step_ns);
  /// Time left for `steps` more full steps and `other_ns` of everything else.
  TimeEstimate remaining(std::int64_t steps, double other_ns) const;
  std::int64_t observed() const { return observed_; }

 private:
  void observe_in_block(double step_ns);
  /// The variance of a step as it counts for the mean of many, which resemble those before.
  double stretched(double step_variance) const;

  double prior_mean_ns_;
  double prior_common_ns_;  // deviation of the mean
  double prior_step_ns_;    // deviation of a step about the mean
  double confidence_;
  std::int64_t observed_ = 0;
  double mean_ns_ = 0, variance_ = 0, covariance_ = 0, last_ns_ = 0;  // of the recent steps
  std::int64_t blocks_ = 0;                                           // of steps in a row
  double block_ns_ = 0, block_variance_ = 0;
};

}  // namespace millrace
