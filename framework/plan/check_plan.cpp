// Checks of a plan that was read or written by hand, against the costs.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "framework/plan/alternatives.hpp"
#include "framework/plan/assemble.hpp"
#include "framework/plan/plan_request.hpp"
#include "millrace/errors.hpp"
#include "millrace/schedule.hpp"
#include "millrace/units.hpp"

namespace millrace {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw ConfigError("plan", message); }

void check_head(const Plan& plan, const Profile& profile) {
  if (plan.model != profile.model) {
    refuse(fmt::format("the plan is for the model \"{}\", the costs are of \"{}\": plan again",
                       plan.model, profile.model));
  }
  if (plan.stages.empty()) refuse("the plan has no stages: at least 1 is needed");
  if (plan.schedule == "auto") {
    refuse("the plan's schedule is \"auto\": name the schedule that it is to run");
  }
  const std::int64_t needed = (plan.batch + plan.micro_batch - 1) / plan.micro_batch;
  if (plan.micro_batches != needed) {
    refuse(
        fmt::format("the plan has {} micro-batches, a batch of {} in micro-batches of {} makes {}: "
                    "correct micro_batches or micro_batch",
                    plan.micro_batches, plan.batch, plan.micro_batch, needed));
  }
}

/// The plan's own numbers, as if they had been asked for.
PlanRequest request_of(const Plan& plan, const PlanRequest& request) {
  PlanRequest own = request;
  own.batch = plan.batch;
  own.micro_batch = plan.micro_batch;
  own.objective = plan.objective;
  own.schedule = plan.schedule;
  own.any_cut = false;  // its lanes are there to be seen
  return own;
}

/// Devices that may be used, and no more than there are; `lanes` by stage.
void check_devices(const Plan& plan, const std::vector<int>& lanes, const Profile& profile,
                   const PlanRequest& request) {
  std::map<std::pair<std::string, int>, std::size_t> user;  // device -> its first stage
  std::map<std::string, int> counts;
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    for (const PlannedDevice& device : plan.stages[s].devices) {
      const auto [place, is_new] = user.try_emplace({device.kind, device.cpu}, s);
      if (!is_new && place->second == s) {
        refuse(fmt::format("stage {}: device {} of \"{}\" is there twice: name it once", s,
                           device.cpu, device.kind));
      }
      if (!is_new && lanes[place->second] != lanes[s]) {
        refuse(fmt::format(
            "stage {}: device {} of \"{}\" is used twice: stages share all devices, in the same "
            "order, or none",
            s, device.cpu, device.kind));
      }
      const auto allowed = request.cpus.find(device.kind);
      if (allowed != request.cpus.end() && std::find(allowed->second.begin(), allowed->second.end(),
                                                     device.cpu) == allowed->second.end()) {
        refuse(fmt::format(
            "stage {}: CPU {} is none of the {} allowed CPUs of \"{}\" ({}): change "
            "the plan or --cores",
            s, device.cpu, allowed->second.size(), device.kind, fmt::join(allowed->second, ", ")));
      }
      const int kind = profile.kind_index(device.kind);
      if (kind >= 0 && is_new && ++counts[device.kind] > profile.kinds[kind].count) {
        refuse(fmt::format("stage {}: the plan uses {} devices of \"{}\", there are {}", s,
                           counts[device.kind], device.kind, profile.kinds[kind].count));
      }
    }
  }
}

/// Stages of one lane: a schedule that orders them, and the same workers for all.
void check_lanes(const Plan& plan, const std::vector<int>& lanes) {
  for (std::size_t s = 0; s < lanes.size(); ++s) {
    const auto first =
        static_cast<std::size_t>(std::find(lanes.begin(), lanes.end(), lanes[s]) - lanes.begin());
    if (first == s) continue;
    const PlanStage &own = plan.stages[s], &other = plan.stages[first];
    if (!takes_shared_lanes(plan.schedule))
      refuse(
          fmt::format("stages {} and {} have the same devices, and the schedule \"{}\" runs one "
                      "stage on each: take interleaved",
                      first, s, plan.schedule));
    if (own.workers() != other.workers() || own.threads_each() != other.threads_each())
      refuse(fmt::format(
          "stage {} has {} worker(s) of {} thread(s), stage {} on the same devices {} "
          "of {}: split them alike",
          s, own.workers(), own.threads_each(), first, other.workers(), other.threads_each()));
  }
}

void check_memory(const CostModel& model, const std::vector<StageOption>& stages,
                  const Batching& batching, const Plan& plan, const PlanRequest& request) {
  const auto budget = memory_budget(request, model.profile());
  if (budget && double(plan.memory_bytes) > std::ceil(*budget)) {  // both in whole bytes
    refuse(
        fmt::format("needs {}, the budget is {}: leave out --plan, so that one for it is searched, "
                    "or raise --memory",
                    format_bytes(double(plan.memory_bytes)), format_bytes(*budget)));
  }
  const std::vector<int> lanes = lanes_of(plan);
  const auto flights =
      in_flight(make_schedule(plan.schedule, lanes, static_cast<int>(batching.count)));
  const auto broken = broken_budget(model, pointers(stages), lanes, batching, flights);
  if (!broken) return;
  const BrokenBudget& own = broken->budget;
  refuse(fmt::format("stage {}: needs {} on \"{}\", which has {}: give it fewer layers or samples",
                     std::find(lanes.begin(), lanes.end(), broken->lane) - lanes.begin(),
                     format_bytes(own.needed_bytes), own.kind, format_bytes(own.budget_bytes)));
}

void check_implementations(const PlanStage& stage, std::size_t s) {
  for (const auto& [layer, implementation] : stage.implementations) {
    if (std::find(stage.layers.begin(), stage.layers.end(), layer) == stage.layers.end()) {
      refuse(fmt::format("stage {}: implementations names \"{}\", which is none of its layers", s,
                         layer));
    }
  }
}

void fill_names(const CostModel& model, const StageOption& option, std::int64_t micro_batch,
                std::size_t s, PlanStage& stage) {
  check_implementations(stage, s);
  stage.feature_layers = feature_layers(model, option.shape);
  if (stage.feature_shares.empty())
    stage.feature_shares = feature_shares(model, option.shape, stage, micro_batch);
  stage.update_shares = update_shares(model, option.shape, stage);
  auto measured = implementations(model, option.shape, stage.devices.front().kind);
  stage.implementations.merge(measured);
}

void add_searched_plan(const Candidate& best, double scale, Plan& plan) {
  const double value = best.score_ns * scale;
  plan.alternatives.insert(plan.alternatives.begin(),
                           {"searched plan", value,
                            fmt::format("{:.1f} % faster: leave out the plan and it is taken",
                                        100 * (1 - value / plan.value_ns))});
}

/// How good the plan is among all that the same request allows with any micro-batch and schedule.
void compare(const CostModel& model, const PlanRequest& request, const SecondsClock& clock,
             Plan& plan) {
  const double begin = clock ? clock() : 0;
  PlanRequest free = request;
  free.batch = plan.batch;
  free.objective = plan.objective;
  if (shares_lanes(lanes_of(plan))) {
    free.any_cut = true;
    free.schedule = "auto";
  }
  const SearchSpace space = make_space(free, model.profile(), clock);
  const SearchResult found = search(model, space);
  const double scale =
      plan.objective == Objective::period ? double(plan.micro_batch) / double(plan.batch) : 1;
  plan.bound_ns = std::min(found.bound_score_ns * scale, plan.value_ns);
  plan.optimal = plan.bound_ns >= plan.value_ns * (1 - 1e-9);
  plan.search = report_of(found, model);
  plan.alternatives = list_alternatives(model, space, found, plan);
  if (found.best && !plan.optimal) add_searched_plan(*found.best, scale, plan);
  if (clock) plan.search.seconds = clock() - begin;
}

/// `others`(model, plan) gets the plan once it is found to be right.
template <typename Others>
Plan checked_plan(const Plan& plan, const Profile& profile, const PlanRequest& request,
                  const Others& others) {
  const PlanRequest own = request_of(plan, request);
  check_request(own, profile);
  check_head(plan, profile);
  const std::vector<int> lanes = lanes_of(plan);
  check_devices(plan, lanes, profile, request);
  const auto numbers = device_numbers(request, profile);
  const CostModel model(profile, device_counts(numbers), plan.objective);
  const Batching batching(plan.batch, plan.micro_batch);
  const auto stages = read_stages(model, plan, batching);
  check_lanes(plan, lanes);
  Plan checked = plan;
  for (std::size_t s = 0; s < stages.size(); ++s) {
    fill_names(model, stages[s], checked.micro_batch, s, checked.stages[s]);
  }
  fill_predicted(stages, batching, checked);
  check_memory(model, stages, batching, checked, request);
  others(model, checked);
  return checked;
}

}  // namespace

Plan check_plan(const Plan& plan, const Profile& profile, const PlanRequest& request,
                const SecondsClock& clock) {
  return checked_plan(plan, profile, request, [&](const CostModel& model, Plan& checked) {
    compare(model, request, clock, checked);
  });
}

Plan verify_plan(const Plan& plan, const Profile& profile, const PlanRequest& request) {
  return checked_plan(plan, profile, request, [](const CostModel&, const Plan&) {});
}

}  // namespace millrace
