#pragma once
// How long what is left of a run will take: the estimate, corrected by what was measured so far.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>

#include "controller/calendar.hpp"
#include "controller/session.hpp"
#include "millrace/estimate.hpp"

namespace millrace {

/// Epoch checkpoints are left out while checkpoints have taken more than this part of the run.
inline constexpr double kCheckpointShare = 0.1;

/// What is known of a run before it is prepared. The plan and the costs are the caller's.
struct RunOutline {
  const Plan& plan;
  const Profile& profile;
  std::int64_t training_samples = 0;    ///< per epoch
  std::int64_t validation_samples = 0;  ///< per evaluation

  std::int64_t steps_per_epoch() const;
};
RunOutline outline_of(const TrainingSession& session);

/// Not thread-safe.
class Forecast {
 public:
  /// What a run does beside its steps, measured or assumed before it starts.
  struct Costs {
    double checkpoint_ns = 0;  ///< until the disk has one
    double confidence = 0.99;
    std::optional<Rehearsal> rehearsal = {};  ///< of the plan
  };

  /// For the part of the run after `step` steps and `elapsed_ns`.
  Forecast(const RunOutline& run, const Calendar& calendar, const Costs& costs, std::int64_t step,
           std::int64_t elapsed_ns);

  const Estimate& first() const { return first_; }

  void observe_step(std::int64_t samples, std::int64_t wall_ns);
  void observe_evaluation(std::int64_t wall_ns) {
    evaluation_ns_ = static_cast<double>(wall_ns);
    evaluated_ = true;
  }
  /// The run waited so long for a checkpoint on the way.
  void observe_checkpoint(std::int64_t wall_ns) { checkpoint_ns_ = static_cast<double>(wall_ns); }
  /// The disk had it after so long, which the run's last one waits for.
  void observe_flush(std::int64_t wall_ns) { last_checkpoint_ns_ = static_cast<double>(wall_ns); }

  TimeEstimate remaining(std::int64_t step, std::int64_t elapsed_ns) const;
  /// What the plan took here, as if it had been rehearsed: its last full steps, without the first,
  /// which found cold caches. Absent where there were none.
  std::optional<Rehearsal> shown() const;
  /// Of another plan in the same run: what a checkpoint takes is the disk's matter.
  void take_over(const Forecast& before) {
    checkpoint_ns_ = before.checkpoint_ns_;
    last_checkpoint_ns_ = before.last_checkpoint_ns_;
  }
  /// The latest time of one more step and of what closes the run behind it: the disk has had the
  /// checkpoint before for so long, which comes first.
  double last_step_ns(std::optional<std::int64_t> flushed_for_ns) const {
    const double flush_ns =
        flushed_for_ns ? std::max(0.0, last_checkpoint_ns_ - static_cast<double>(*flushed_for_ns))
                       : 0;
    return left_.remaining(1, flush_ns + closing_ns()).latest_ns;
  }

 private:
  Estimate estimate_by_steps(const RunOutline& run, std::int64_t step) const;
  Estimate estimate_by_time(const RunOutline& run, std::int64_t elapsed_ns) const;
  /// Of a run that ends by time or deadline, whose steps take `step`.
  TimeEstimate until_the_end(std::int64_t elapsed_ns, const TimeEstimate& step) const;
  /// Evaluations and checkpoints in (from, to], where the steps between take `steps_ns`.
  double evaluations_ns(std::int64_t from, std::int64_t to) const;
  double checkpoints_ns(std::int64_t from, std::int64_t to, double steps_ns) const;
  /// How much longer the run waits for its last checkpoint than for one on the way.
  double flush_ns() const { return std::max(0.0, last_checkpoint_ns_ - checkpoint_ns_); }
  /// Of what comes after the last step of a run that ends by time or deadline.
  double closing_ns() const { return evaluation_ns_ + last_checkpoint_ns_; }

  const Calendar& calendar_;
  std::int64_t batch_ = 1;
  std::int64_t short_samples_ = 0;  ///< of an epoch's last step; 0: it is full
  double confidence_;
  std::int64_t validation_samples_ = 0;
  std::optional<Rehearsal> rehearsal_;
  std::deque<double> steps_ns_;  // the last full ones
  bool warm_ = false, evaluated_ = false;
  double evaluation_ns_ = 0, checkpoint_ns_ = 0, last_checkpoint_ns_ = 0;
  Estimate first_;
  RemainingTime left_;
};

}  // namespace millrace
