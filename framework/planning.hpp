#pragma once
// What lies between the steps of the flow: the settings as each step takes them.

#include <map>
#include <optional>
#include <vector>

#include "framework/execute/executor.hpp"
#include "millrace/train_step.hpp"

namespace millrace {

/// What can be refused of the request before anything is measured. Throws ConfigError (tag "plan").
void check_batching(const Model& model, const PlanRequest& request);

/// settings.given_costs as they are, else what `model` costs on the cores of settings.cores.
MeasuredProfile chosen_profile(const Model& model, const TrainSettings& settings);

/// What is kept of `model`'s costs on settings.measured_cores, without measuring; empty where
/// nothing is.
std::optional<MeasuredProfile> kept_costs(const Model& model, const TrainSettings& settings);

/// settings.given_plan after its check, else the searched one. Throws NoPlanError where none is
/// feasible, with the reason and the nearest request that would be.
Plan chosen_plan(const MeasuredProfile& measured, const TrainSettings& settings);

/// The best ones of different forms, at most `count`, whatever plan is given. Throws as
/// chosen_plan.
std::vector<Plan> chosen_plans(const MeasuredProfile& measured, const TrainSettings& settings,
                               int count);

/// Where the workers of each stage run: [stage][worker].
std::vector<std::vector<WorkerPlace>> worker_places(const Plan& plan);

/// The plan's schedules, made when they are first asked for: the last batch of an epoch has fewer
/// micro-batches. Not thread-safe.
class ScheduleShelf {
 public:
  explicit ScheduleShelf(const Plan& plan);

  /// For batches of plan.batch samples.
  const Schedule& full() const { return full_; }
  const Schedule& training(std::int64_t samples);
  const Schedule& forward_only(std::int64_t samples);

 private:
  using Made = std::map<int, Schedule>;  ///< number of micro-batches -> schedule
  const Schedule& get(Made& made, const std::string& name, std::int64_t samples);

  std::string name_;
  std::vector<int> lanes_;
  std::int64_t micro_batch_ = 0;
  Schedule full_;
  Made training_, forward_only_;
};

}  // namespace millrace
