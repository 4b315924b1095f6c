#pragma once
// Keeps a run on the plan that is best for the machine as it is: another process, a thermal limit,
// a core that is slowed or goes off line, and their end.

#include <cstdint>
#include <deque>
#include <string>

#include "controller/drift.hpp"
#include "controller/metrics.hpp"
#include "controller/run_folder.hpp"
#include "controller/session.hpp"
#include "controller/taken_plans.hpp"

namespace millrace {

struct TrainingSettings;

/// Where the steps' time drifts, the cores are probed, and the best plan for their speed is taken
/// where it earns back what that costs. Each plan taken is in the folder before it is in force; a
/// resumed run first takes those again that it took before it was stopped. Not thread-safe.
class Adaptation {
 public:
  /// From `step` on. Where the settings say that the run keeps its plan, it takes those alone that
  /// the folder has after `step`.
  Adaptation(TrainingSession& session, const RunFolder& folder, const TrainingSettings& settings,
             std::int64_t step);

  /// After a step, with what the run has left. What was changed, where another plan is in force.
  /// Throws what TrainingSession::take_plan throws.
  std::optional<PlanChange> stepped(const StepReport& report, std::int64_t wall_ns,
                                    std::int64_t now_ns, std::int64_t step, double left_ns);

  /// The best plan that needs clearly less memory than the one in force, taken after `step`; later
  /// ones need no more. Empty, with a warning, where none fits, or other plans are not wanted.
  /// `reason`: of too little memory. Throws as stepped().
  std::optional<PlanChange> take_smaller(std::int64_t step, const std::string& reason);

 private:
  /// When something was last tried, and how long to wait before the next time.
  struct Patience {
    std::int64_t tried_ns = 0, wait_ns = 0;
    int changes = 0;  // that the tries led to, since there was peace
    bool is_over(std::int64_t now_ns) const { return now_ns - tried_ns >= wait_ns; }
    void tried(std::int64_t now_ns, std::int64_t shortest_ns);
    /// Refusals before it count no more.
    void changed(std::int64_t shortest_ns);
  };

  bool is_due(std::int64_t now_ns);
  bool leaves_cores_idle() const;
  std::optional<PlanOffer> offer();
  std::optional<PlanOffer> smaller_offer();
  void judge_by(const PlanOffer& offer);
  std::optional<PlanChange> take_if_it_pays(const PlanOffer& offer, std::int64_t step,
                                            double left_ns);
  bool take_recorded(const PlanOffer& offer, std::int64_t step);
  std::optional<PlanChange> take_again(std::int64_t step);
  void take(const Plan& plan, const Profile& costs);

  TrainingSession& session_;
  const TakenPlans taken_;
  bool adapts_;
  std::deque<std::int64_t> again_;  // steps at which the run took a plan before it was stopped
  DriftWatch watch_;
  double predicted_ns_;             // a step of the plan in force
  std::optional<double> wrong_by_;  // its first steps took so many times as long
  bool doubted_;  // the machine may have changed since the plan was made, before the first step
  int most_cores_ = 0;                      // that a plan could have used
  std::optional<std::int64_t> most_bytes_;  // that a plan may need
  Patience drift_, idle_;
};

}  // namespace millrace
