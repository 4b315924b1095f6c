#include "controller/adaptation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "millrace/errors.hpp"
#include "millrace/estimate.hpp"
#include "millrace/log.hpp"
#include "millrace/units.hpp"

namespace millrace {
namespace {

constexpr const char* kTag = "replan";

// No flapping: each try doubles the time to the next, until the machine has been left in peace for
// much longer than that.
constexpr std::int64_t kShortestWait_ns = 2'000'000'000;
constexpr std::int64_t kLongestWait_ns = 600'000'000'000;
constexpr std::int64_t kPeace = 10;  // waits
constexpr std::int64_t kIdleWait_ns = 20'000'000'000;

constexpr double kLeastGain = 0.07;  // of a step: less is within the error of a prediction
constexpr double kChange_ns = 2e9;   // probing, and a step or two at less than full speed
/// What a prediction was wrong by under one plan holds for the next, within reason.
constexpr double kMostCorrection = 1.5;

double predicted_step_ns(const Plan& plan, const Profile& costs) {
  RunShape one;
  one.steps = 1;
  return estimate_run(costs, plan, one).step.expected_ns;
}

/// "CPU 1 at 41 %", of the cores whose speed is another.
std::string text_of(const std::map<int, double>& speeds) {
  std::string text;
  for (const auto& [cpu, speed] : speeds)
    if (std::abs(speed - 1) > 0.05)
      text += fmt::format("{}CPU {} at {:.0f} %", text.empty() ? "" : ", ", cpu, 100 * speed);
  return text.empty() ? "all cores at full speed" : text;
}

}  // namespace

Adaptation::Adaptation(TrainingSession& session, const RunFolder& folder, bool adapts,
                       std::int64_t step)
    : session_(session),
      taken_(folder.plans()),
      adapts_(adapts),
      predicted_ns_(predicted_step_ns(session.plan(), session.profile())),
      wait_ns_(kShortestWait_ns) {
  for (const std::int64_t taken : taken_.steps())
    if (taken > step) again_.push_back(taken);
}

std::optional<PlanChange> Adaptation::stepped(const StepReport& report, std::int64_t wall_ns,
                                              std::int64_t now_ns, std::int64_t step,
                                              double left_ns) {
  if (!again_.empty()) {
    if (again_.front() > step) return std::nullopt;
    return take_again(step);
  }
  if (!adapts_) return std::nullopt;
  if (report.samples == session_.plan().batch) watch_.observe(report, wall_ns);
  if (!is_due(now_ns)) return std::nullopt;
  if (now_ns - tried_ns_ > kPeace * wait_ns_) wait_ns_ = kShortestWait_ns;
  wait_ns_ = std::min(2 * wait_ns_, kLongestWait_ns);
  tried_ns_ = now_ns;
  std::optional<PlanChange> change;
  if (const auto found = offer()) change = take_if_it_pays(*found, step, left_ns);
  watch_.forget();
  return change;
}

bool Adaptation::is_due(std::int64_t now_ns) const {
  if (!watch_.first_step_ns()) return false;
  const std::int64_t waited_ns = now_ns - tried_ns_;
  if (watch_.has_drifted()) return waited_ns >= wait_ns_;
  return waited_ns >= std::max(wait_ns_, kIdleWait_ns) && leaves_cores_idle();
}

/// Of a core that computes nothing no step tells that it has become faster.
bool Adaptation::leaves_cores_idle() const {
  std::set<std::pair<std::string, int>> used;
  for (const PlanStage& stage : session_.plan().stages)
    for (const PlannedDevice& device : stage.devices) used.emplace(device.kind, device.cpu);
  int cores = 0;
  for (const DeviceKind& kind : session_.profile().kinds) cores += kind.count;
  return std::ssize(used) < cores;
}

std::optional<PlanOffer> Adaptation::offer() {
  try {
    auto offer = session_.offer_plan();
    adapts_ = offer.has_value();
    if (!adapts_)
      log_info(kTag,
               "steps take another time than they did, but no costs of this machine are "
               "kept to search another plan with: the run keeps its plan");
    return offer;
  } catch (const InternalError&) {
    throw;
  } catch (const Error& error) {
    log_warning(kTag, fmt::format("the run keeps its plan: {}", error.what()));
    return std::nullopt;
  }
}

std::optional<PlanChange> Adaptation::take_if_it_pays(const PlanOffer& offer, std::int64_t step,
                                                      double left_ns) {
  const double first_ns = *watch_.first_step_ns(), last_ns = *watch_.last_step_ns();
  const double wrong_by =
      std::clamp(first_ns / predicted_ns_, 1 / kMostCorrection, kMostCorrection);
  const double expected_ns = wrong_by * predicted_step_ns(offer.plan, offer.costs);
  const double gain = 1 - expected_ns / last_ns;
  const std::string reason = text_of(offer.speeds);
  log_info(kTag, fmt::format("a step takes {} instead of {} ({}): the best plan now would take {}, "
                             "{}",
                             format_duration(last_ns), format_duration(first_ns), reason,
                             format_duration(expected_ns),
                             gain < kLeastGain || gain * left_ns < kChange_ns ? "which does not pay"
                                                                              : "and is taken"));
  if (gain < kLeastGain || gain * left_ns < kChange_ns) return std::nullopt;
  taken_.add(step, offer.plan, offer.costs);
  take(offer.plan, offer.costs);
  return PlanChange{step, reason, last_ns, expected_ns};
}

PlanChange Adaptation::take_again(std::int64_t step) {
  again_.pop_front();
  const auto [plan, costs] = taken_.read(step);
  log_info(kTag,
           fmt::format("step {}: the plan that the run took here before it was stopped", step));
  take(plan, costs);
  return {step, "taken before the run was stopped", 0, predicted_ns_};
}

void Adaptation::take(const Plan& plan, const Profile& costs) {
  session_.take_plan(plan, costs);
  predicted_ns_ = predicted_step_ns(session_.plan(), session_.profile());
}

}  // namespace millrace
