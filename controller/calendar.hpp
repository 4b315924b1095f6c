#pragma once
// What is due when in a run: pure counting. "Step n" is the moment after n steps.

#include <cstdint>
#include <optional>

namespace millrace {

/// When a run ends: exactly one of the first three is set, or the deadline alone.
struct TrainingEnd {
  std::optional<std::int64_t> steps;
  std::optional<std::int64_t> epochs;
  std::optional<std::int64_t> time_ns;  ///< of the run, over all its processes
  /// Of the same time: by then the run is over, its last evaluation and checkpoint included.
  std::optional<std::int64_t> deadline_ns;
};

class Calendar {
 public:
  struct Rules {
    TrainingEnd end;
    std::int64_t steps_per_epoch = 1;
    std::int64_t evaluate_every_epochs = 1;   ///< 0: at the end only
    std::int64_t checkpoint_every_steps = 0;  ///< beside those at each epoch's end; 0: none
  };

  /// Throws ConfigError (tag "train") for ends that are not exactly one or not positive and for
  /// negative intervals.
  explicit Calendar(const Rules& rules);

  /// Absent for a run that ends by time or deadline.
  std::optional<std::int64_t> last_step() const { return last_step_; }
  std::optional<std::int64_t> time_ns() const { return rules_.end.time_ns; }
  std::optional<std::int64_t> deadline_ns() const { return rules_.end.deadline_ns; }
  /// By time that passed and is not of the run's.
  void bring_deadline_forward(std::int64_t ns) {
    if (rules_.end.deadline_ns) *rules_.end.deadline_ns -= ns;
  }
  /// When a run without last_step() ends: its time, or a deadline that stands alone.
  std::int64_t end_ns() const { return time_ns() ? *time_ns() : *deadline_ns(); }
  /// Whether all that was asked for is done; a deadline asks for nothing.
  bool ended(std::int64_t step, std::int64_t elapsed_ns) const;
  /// 0-based epoch that the step before `step` belongs to; 0 at the start.
  std::int64_t epoch_of(std::int64_t step) const;

  bool evaluation_due(std::int64_t step) const;
  bool epoch_ends(std::int64_t step) const;
  /// By number of steps or at the end; those of epochs apart.
  bool checkpoint_due(std::int64_t step) const;

  /// How often the same is due in (from, to].
  std::int64_t evaluations(std::int64_t from, std::int64_t to) const;
  std::int64_t epoch_ends(std::int64_t from, std::int64_t to) const;
  std::int64_t checkpoints(std::int64_t from, std::int64_t to) const;

 private:
  /// Multiples of `interval` (0: none) and the last step, in (from, to].
  std::int64_t count(std::int64_t interval, std::int64_t from, std::int64_t to) const;

  Rules rules_;
  std::optional<std::int64_t> last_step_;
};

}  // namespace millrace
