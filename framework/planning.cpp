#include "framework/planning.hpp"

#include <fmt/format.h>

#include <utility>

#include "framework/profile/core_rates.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

/// The plan's own devices by kind: given costs may divide the cores into other kinds than the
/// topology. Throws ConfigError for a CPU that this machine does not allow.
std::map<std::string, std::vector<int>> devices_of(const Plan& plan, const Topology& machine) {
  std::map<std::string, std::vector<int>> cpus;
  for (const PlanStage& stage : plan.stages) {
    for (const PlannedDevice& device : stage.devices) {
      if (!machine.kind_of(device.cpu)) {
        throw ConfigError("plan", fmt::format("the plan uses CPU {}, this process may use {}: search "
                                              "a plan for these cores, or change --cores",
                                              device.cpu, format_cpu_list(machine.cpus())));
      }
      cpus[device.kind].push_back(device.cpu);
    }
  }
  return cpus;
}

}  // namespace

MeasuredProfile chosen_profile(const Model& model, const TrainSettings& settings) {
  const Topology machine = select_cores(discover_topology(settings.machine), settings.cores);
  if (settings.given_plan && settings.given_costs) return {*settings.given_costs, machine, true, ""};
  ProfileRequest request = settings.profile;
  request.batch = settings.plan.batch;
  return profile_model(model, machine, request);
}

Plan chosen_plan(const MeasuredProfile& measured, const TrainSettings& settings) {
  PlanRequest request = settings.plan;
  if (settings.given_plan && settings.given_costs) {
    request.cpus = devices_of(*settings.given_plan, measured.topology);
  } else {
    for (const CoreKind& kind : measured.topology.kinds) {
      request.cpus[kind.name] = device_cpus(measured.topology, kind);
    }
  }
  if (settings.given_plan) return check_plan(*settings.given_plan, measured.profile, request);
  auto result = search_plan(measured.profile, request);
  if (auto* failure = std::get_if<PlanFailure>(&result)) {
    throw NoPlanError("plan", failure->nearest.empty() ? failure->reason
                                                       : failure->reason + ": " + failure->nearest);
  }
  return std::get<Plan>(std::move(result));
}

std::vector<std::vector<WorkerPlace>> worker_places(const Plan& plan) {
  std::vector<std::vector<WorkerPlace>> places;
  for (const PlanStage& stage : plan.stages) {
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
      stages_(static_cast<int>(plan.stages.size())),
      micro_batch_(plan.micro_batch),
      full_(make_schedule(name_, stages_, static_cast<int>(plan.micro_batches))) {}

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
  return made.emplace(micro_batches, make_schedule(name, stages_, micro_batches)).first->second;
}

}  // namespace millrace
