#include "framework/planning.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "framework/clock.hpp"
#include "framework/layers/module_facts.hpp"
#include "framework/plan/failure.hpp"
#include "framework/plan/plan_request.hpp"
#include "framework/profile/cost_graph.hpp"
#include "millrace/errors.hpp"
#include "millrace/units.hpp"

namespace millrace {
namespace {

const CoreKind& kind_of(const Topology& machine, int cpu) {
  if (const CoreKind* kind = machine.kind_of(cpu)) return *kind;
  throw ConfigError("plan", fmt::format("the plan uses CPU {}, this process may use {}: search a "
                                        "plan for these cores, or change --cores",
                                        cpu, format_cpu_list(machine.cpus())));
}

/// The plan's own devices by kind: the costs that it was made for may divide the cores into other
/// kinds than the topology. Throws ConfigError for a CPU that this machine does not allow.
std::map<std::string, std::vector<int>> devices_of(const Plan& plan, const Topology& machine) {
  std::map<std::string, std::vector<int>> cpus;
  for (const PlanStage& stage : plan.stages) {
    for (const PlannedDevice& device : stage.devices) {
      kind_of(machine, device.cpu);
      std::vector<int>& known = cpus[device.kind];
      if (std::find(known.begin(), known.end(), device.cpu) == known.end())
        known.push_back(device.cpu);
    }
  }
  return cpus;
}

/// `plan` with its CPUs under the kinds that the measurement formed, which may be others than when
/// the plan was written. Throws as devices_of does.
Plan with_measured_kinds(Plan plan, const Topology& machine) {
  for (PlanStage& stage : plan.stages) {
    for (PlannedDevice& device : stage.devices) device.kind = kind_of(machine, device.cpu).name;
  }
  return plan;
}

/// What the optimizer keeps of each weight.
int state_tensors(const OptimizerSettings& optimizer) {
  if (optimizer.kind == OptimizerKind::adamw) return 2;
  return optimizer.momentum > 0 ? 1 : 0;
}

/// Measured were updates by SGD with momentum. An update takes the time of its memory traffic: it
/// reads the gradient, and reads and writes the weight and each state tensor.
void fit_to_optimizer(Profile& profile, const OptimizerSettings& optimizer) {
  const int states = state_tensors(optimizer);
  profile.bytes_per_weight_byte = 2 + states;
  const double traffic = (1 + 2 * (1 + states)) / 5.0;
  for (LayerCosts& layer : profile.layers) {
    for (auto& [kind, ns] : layer.update_ns) ns *= traffic;
  }
}

/// Before anything is measured: the batches alone may be more than the memory.
void require_room(const Topology& machine, const TrainSettings& settings) {
  double budget = memory_budget_bytes(machine);  // 0: not known
  if (settings.plan.memory_bytes) {
    const auto asked = static_cast<double>(*settings.plan.memory_bytes);
    budget = budget > 0 ? std::min(budget, asked) : asked;
  }
  if (budget <= 0 || settings.reserved_bytes < budget) return;
  throw NoPlanError(
      "plan", fmt::format("the batches of {} samples that are decoded ahead need {}, the memory "
                          "budget is {}: lower --batch or raise --memory",
                          settings.plan.batch, format_bytes(settings.reserved_bytes),
                          format_bytes(budget)));
}

/// The budget of the plan, beside what the caller keeps.
std::optional<std::int64_t> plan_bytes(const Profile& profile, const TrainSettings& settings) {
  const auto budget = memory_budget(settings.plan, profile);
  if (!budget) return std::nullopt;
  return static_cast<std::int64_t>(std::max(1.0, *budget - settings.reserved_bytes));
}

/// What the settings ask of a plan for the cores that were measured.
PlanRequest machine_request(const MeasuredProfile& measured, const TrainSettings& settings) {
  PlanRequest request = settings.plan;
  request.memory_bytes = plan_bytes(measured.profile, settings);
  for (const CoreKind& kind : measured.topology.kinds) {
    request.cpus[kind.name] = device_cpus(measured.topology, kind);
  }
  return request;
}

ProfileRequest profile_request(const TrainSettings& settings) {
  ProfileRequest request = settings.profile;
  request.batch = settings.plan.batch;
  return request;
}

}  // namespace

void check_batching(const Model& model, const PlanRequest& request) {
  for (const Layer& layer : model.layers)
    if (module_type(*layer.module.ptr()) == "batch_norm") check_micro_batch(request, layer.name);
}

MeasuredProfile chosen_profile(const Model& model, const TrainSettings& settings) {
  if (!settings.given_plan) check_batching(model, settings.plan);
  const Topology machine = select_cores(discover_topology(settings.machine), settings.cores);
  require_room(machine, settings);
  if (settings.given_plan && settings.given_costs)
    return {*settings.given_costs, machine, true, "", {}};
  MeasuredProfile measured = profile_model(model, machine, profile_request(settings));
  fit_to_optimizer(measured.profile, settings.optimizer);
  return measured;
}

std::optional<MeasuredProfile> kept_costs(const Model& model, const TrainSettings& settings) {
  const std::string& cores =
      settings.measured_cores.empty() ? settings.cores : settings.measured_cores;
  const Topology machine = select_cores(discover_topology(settings.machine), cores);
  auto kept = kept_profile(model, machine, profile_request(settings));
  if (kept) fit_to_optimizer(kept->profile, settings.optimizer);
  return kept;
}

Plan chosen_plan(const MeasuredProfile& measured, const TrainSettings& settings) {
  if (!settings.given_plan) return chosen_plans(measured, settings, 1).front();
  PlanRequest request = machine_request(measured, settings);
  if (settings.given_costs) {
    request.cpus = devices_of(*settings.given_plan, measured.topology);
    return verify_plan(*settings.given_plan, measured.profile, request);
  }
  const Plan plan = with_measured_kinds(*settings.given_plan, measured.topology);
  return check_plan(plan, measured.profile, request, steady_seconds);
}

std::vector<Plan> chosen_plans(const MeasuredProfile& measured, const TrainSettings& settings,
                               int count) {
  const PlanRequest request = machine_request(measured, settings);
  std::vector<Plan> plans = search_plans(measured.profile, request, count, steady_seconds);
  if (!plans.empty()) return plans;
  const auto counts = device_counts(device_numbers(request, measured.profile));
  const PlanFailure failure = explain_failure(
      CostModel(measured.profile, counts, request.objective), request, settings.reserved_bytes);
  throw NoPlanError("plan", fmt::format("{}; nearest: {}", failure.reason, failure.nearest));
}

std::vector<std::vector<WorkerPlace>> worker_places(const Plan& plan) {
  std::vector<std::vector<WorkerPlace>> places;
  const std::vector<int> lanes = lanes_of(plan);
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    if (static_cast<std::size_t>(lanes[s]) < places.size()) continue;
    const PlanStage& stage = plan.stages[s];
    auto device = stage.devices.begin();
    auto& workers = places.emplace_back(static_cast<std::size_t>(stage.workers()));
    for (WorkerPlace& place : workers) {
      place.threads = stage.threads_each();
      for (int thread = 0; thread < place.threads; ++thread) place.cpus.push_back((device++)->cpu);
    }
  }
  return places;
}

ScheduleShelf::ScheduleShelf(const Plan& plan)
    : name_(plan.schedule),
      lanes_(lanes_of(plan)),
      micro_batch_(plan.micro_batch),
      full_(make_schedule(name_, lanes_, static_cast<int>(plan.micro_batches))) {}

const Schedule& ScheduleShelf::training(std::int64_t samples) {
  return get(training_, name_, samples);
}

const Schedule& ScheduleShelf::forward_only(std::int64_t samples) {
  return get(forward_only_, "forward-only", samples);
}

const Schedule& ScheduleShelf::get(Made& made, const std::string& name, std::int64_t samples) {
  const int micro_batches = static_cast<int>((samples + micro_batch_ - 1) / micro_batch_);
  const auto found = made.find(micro_batches);
  if (found != made.end()) return found->second;
  return made.emplace(micro_batches, make_schedule(name, lanes_, micro_batches)).first->second;
}

}  // namespace millrace
