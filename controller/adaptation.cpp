#include "controller/adaptation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "controller/training_run.hpp"
#include "millrace/errors.hpp"
#include "millrace/estimate.hpp"
#include "millrace/log.hpp"
#include "millrace/units.hpp"

namespace millrace {
namespace {

constexpr const char* kTag = "replan";

// No flapping: each try doubles the time to the next, until the machine has been left in peace for
// much longer than that; a try that leads to another plan makes it as long as the number of such
// tries says. Idle cores are looked after apart, so that a drift is not overlooked.
constexpr std::int64_t kShortestWait_ns = 2'000'000'000;
constexpr std::int64_t kLongestWait_ns = 600'000'000'000;
constexpr std::int64_t kPeace = 10;  // waits
constexpr std::int64_t kIdleWait_ns = 20'000'000'000;

/// Of the memory that a plan needs: what the next one may, the first that is possible.
constexpr double kLessMemory[] = {0.75, 0.9};

constexpr double kLeastGain = 0.07;  // of a step: less is within the error of a prediction
constexpr double kChange_ns = 2e9;   // probing, and a step or two at less than full speed
/// What a prediction was wrong by under one plan holds for the next, within reason.
constexpr double kMostCorrection = 1.5;

double predicted_step_ns(const Plan& plan, const Profile& costs) {
  RunShape one;
  one.steps = 1;
  return estimate_run(costs, plan, one).step.expected_ns;
}

double correction_of(double ratio) {
  return std::clamp(ratio, 1 / kMostCorrection, kMostCorrection);
}

/// A step of `plan` by the offer's costs, whose kinds its own plan's devices tell. Nothing where
/// they tell too little: of a core that it leaves idle, or a team that is now of unlike cores.
std::optional<double> present_step_ns(Plan plan, const PlanOffer& offer) {
  std::map<int, std::string> kinds;
  for (const PlanStage& stage : offer.plan.stages)
    for (const PlannedDevice& device : stage.devices) kinds[device.cpu] = device.kind;
  for (PlanStage& stage : plan.stages) {
    for (PlannedDevice& device : stage.devices) {
      const auto found = kinds.find(device.cpu);
      if (found == kinds.end()) return std::nullopt;
      device.kind = found->second;
    }
    const auto other = [&](const PlannedDevice& device) {
      return device.kind != stage.devices.front().kind;
    };
    if (stage.split == Split::features &&  // equal parts on cores that are alike no longer
        std::any_of(stage.devices.begin(), stage.devices.end(), other))
      stage.feature_shares = stage.feature_parts();
  }
  try {
    return predicted_step_ns(plan, offer.costs);
  } catch (const ConfigError&) {
    return std::nullopt;
  }
}

int cores_in(const Profile& costs) {
  int cores = 0;
  for (const DeviceKind& kind : costs.kinds) cores += kind.count;
  return cores;
}

bool about_the_same_parts(const PlanStage& a, const PlanStage& b) {
  constexpr double kSame = 0.01;
  const std::vector<double> own = a.feature_parts(), other = b.feature_parts();
  return std::equal(own.begin(), own.end(), other.begin(), other.end(),
                    [](double p, double q) { return std::abs(p - q) < kSame; });
}

/// The same layers on the same CPUs in the same shares and order; what was predicted of them, and
/// what their kinds are called, may differ.
bool does_the_same(const Plan& a, const Plan& b) {
  const auto same_stage = [](const PlanStage& x, const PlanStage& y) {
    const auto same_cpu = [](const PlannedDevice& p, const PlannedDevice& q) {
      return p.cpu == q.cpu;
    };
    return x.layers == y.layers && x.shares == y.shares && x.split == y.split &&
           x.feature_layers == y.feature_layers && about_the_same_parts(x, y) &&
           x.recompute == y.recompute &&
           std::equal(x.devices.begin(), x.devices.end(), y.devices.begin(), y.devices.end(),
                      same_cpu);
  };
  return a.batch == b.batch && a.micro_batch == b.micro_batch && a.schedule == b.schedule &&
         std::equal(a.stages.begin(), a.stages.end(), b.stages.begin(), b.stages.end(), same_stage);
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

Adaptation::Adaptation(TrainingSession& session, const RunFolder& folder,
                       const TrainingSettings& settings, std::int64_t step)
    : session_(session),
      taken_(folder.plans()),
      adapts_(settings.replans),
      predicted_ns_(predicted_step_ns(session.plan(), session.profile())),
      doubted_(settings.doubted || step > 0),
      drift_{0, kShortestWait_ns},
      idle_{0, kIdleWait_ns} {
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
  if (!watch_.first_step_ns()) return std::nullopt;
  if (!wrong_by_) wrong_by_ = correction_of(*watch_.first_step_ns() / predicted_ns_);
  const bool doubted = doubted_;
  if (!is_due(now_ns)) return std::nullopt;
  std::optional<PlanChange> change;
  if (const auto found = offer()) {
    if (doubted) judge_by(*found);
    change = take_if_it_pays(*found, step, left_ns);
  }
  if (change) {
    drift_.changed(kShortestWait_ns);
  } else {
    watch_.accept();
  }
  return change;
}

void Adaptation::Patience::tried(std::int64_t now_ns, std::int64_t shortest_ns) {
  if (now_ns - tried_ns > kPeace * wait_ns) {
    wait_ns = shortest_ns;
    changes = 0;
  }
  wait_ns = std::min(2 * wait_ns, kLongestWait_ns);
  tried_ns = now_ns;
}

void Adaptation::Patience::changed(std::int64_t shortest_ns) {
  wait_ns = shortest_ns;
  ++changes;
  for (int i = 0; i < changes && wait_ns < kLongestWait_ns; ++i) wait_ns *= 2;
}

bool Adaptation::is_due(std::int64_t now_ns) {
  if (std::exchange(doubted_, false)) return true;
  if (watch_.has_drifted()) {
    if (!drift_.is_over(now_ns)) return false;
    drift_.tried(now_ns, kShortestWait_ns);
    return true;
  }
  if (!idle_.is_over(now_ns) || !leaves_cores_idle()) return false;
  idle_.tried(now_ns, kIdleWait_ns);
  return true;
}

/// Of a core that computes nothing no step tells that it has become faster, or is there again.
bool Adaptation::leaves_cores_idle() const {
  std::set<std::pair<std::string, int>> used;
  for (const PlanStage& stage : session_.plan().stages)
    for (const PlannedDevice& device : stage.devices) used.emplace(device.kind, device.cpu);
  return std::ssize(used) < std::max(cores_in(session_.profile()), most_cores_);
}

std::optional<PlanOffer> Adaptation::offer() {
  try {
    auto offer = session_.offer_plan(most_bytes_);
    adapts_ = offer.has_value();
    if (!adapts_)
      log_info(kTag,
               "no costs of this machine are kept to search another plan with: the run keeps its "
               "plan, should the cores become slower or faster");
    return offer;
  } catch (const InternalError&) {
    throw;
  } catch (const std::exception& error) {  // std::bad_alloc for one
    log_warning(kTag, fmt::format("the run keeps its plan: {}", error.what()));
    return std::nullopt;
  }
}

/// By how much a doubted plan's steps missed its costs tells of the machine, not of them: what the
/// costs of now say of it does.
void Adaptation::judge_by(const PlanOffer& offer) {
  const auto present_ns = present_step_ns(session_.plan(), offer);
  wrong_by_ = present_ns ? correction_of(*watch_.last_step_ns() / *present_ns) : 1;
}

std::optional<PlanChange> Adaptation::take_if_it_pays(const PlanOffer& offer, std::int64_t step,
                                                      double left_ns) {
  const double last_ns = *watch_.last_step_ns();
  const double expected_ns = *wrong_by_ * predicted_step_ns(offer.plan, offer.costs);
  const double gain = 1 - expected_ns / last_ns;
  const bool same = does_the_same(offer.plan, session_.plan());
  const bool pays = !same && gain >= kLeastGain && gain * left_ns >= kChange_ns;
  const std::string reason = text_of(offer.speeds);
  const std::string now = format_duration(last_ns);
  const std::string before = format_duration(*watch_.first_step_ns());
  log_info(kTag,
           fmt::format("a step takes {} ({}): the best plan now {}",
                       now == before ? now + " as before" : now + ", it took " + before, reason,
                       same ? std::string("is the one in force")
                            : fmt::format("would take {}, {}", format_duration(expected_ns),
                                          pays ? "and is taken" : "which does not pay")));
  if (!pays || !take_recorded(offer, step)) return std::nullopt;
  return PlanChange{step, reason, last_ns, expected_ns};
}

bool Adaptation::take_recorded(const PlanOffer& offer, std::int64_t step) {
  taken_.add(step, offer.plan, offer.costs);
  try {
    take(offer.plan, offer.costs);
    return true;
  } catch (const InternalError&) {
    taken_.remove_after(step - 1);
    throw;
  } catch (const std::exception& error) {  // a resumed run would fail there again
    taken_.remove_after(step - 1);
    if (!session_.state_is_whole()) throw;  // the plan in force could not be made again
    log_warning(kTag, fmt::format("the run keeps its plan: {}", error.what()));
    return false;
  }
}

std::optional<PlanOffer> Adaptation::smaller_offer() {
  if (!adapts_) return std::nullopt;
  const auto needed = static_cast<double>(session_.plan().memory_bytes);
  for (const double share : kLessMemory) {
    try {
      const auto most = static_cast<std::int64_t>(share * needed);
      auto offer = session_.offer_plan(most);
      if (offer) most_bytes_ = most;
      return offer;
    } catch (const NoPlanError&) {  // nothing that small
    } catch (const InternalError&) {
      throw;
    } catch (const std::exception& error) {  // std::bad_alloc for one
      log_warning(kTag, fmt::format("no smaller plan can be searched: {}", error.what()));
      return std::nullopt;
    }
  }
  return std::nullopt;
}

std::optional<PlanChange> Adaptation::take_smaller(std::int64_t step, const std::string& reason) {
  const std::string before = format_bytes(static_cast<double>(session_.plan().memory_bytes));
  const auto found = smaller_offer();
  if (!found) {
    log_warning(kTag,
                fmt::format("too little memory ({}): the run keeps its plan of {}, no smaller "
                            "one is to be had: lower --batch, or free some",
                            reason, before));
    return std::nullopt;
  }
  taken_.remove_after(step - 1);
  again_.clear();
  if (!take_recorded(*found, step)) return std::nullopt;
  const std::string change =
      fmt::format("too little memory ({}): a plan that needs {} instead of {}", reason,
                  format_bytes(static_cast<double>(found->plan.memory_bytes)), before);
  log_warning(kTag, change);
  return PlanChange{step, change, 0, predicted_ns_};
}

std::optional<PlanChange> Adaptation::take_again(std::int64_t step) {
  again_.pop_front();
  doubted_ = true;  // once all are taken
  try {
    const auto [plan, costs] = TakenPlans::read(taken_.files_of(step));
    log_info(kTag,
             fmt::format("step {}: the plan that the run took here before it was stopped", step));
    take(plan, costs);
  } catch (const ConfigError& broken) {
    log_warning(kTag, fmt::format("step {}: the run keeps its plan, the result is the same to "
                                  "round-off only: {}",
                                  step, broken.what()));
    return std::nullopt;
  }
  return PlanChange{step, "taken before the run was stopped", 0, predicted_ns_};
}

void Adaptation::take(const Plan& plan, const Profile& costs) {
  most_cores_ = std::max(most_cores_, cores_in(session_.profile()));
  session_.take_plan(plan, costs);
  watch_.forget();
  wrong_by_.reset();  // anew, of this plan
  predicted_ns_ = predicted_step_ns(session_.plan(), session_.profile());
}

}  // namespace millrace
