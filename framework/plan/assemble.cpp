#include "framework/plan/assemble.hpp"

#include <cmath>

namespace millrace {
namespace {

std::int64_t whole_bytes(double bytes) { return static_cast<std::int64_t>(std::ceil(bytes)); }

std::vector<std::string> names(const CostModel& model, int first, int last) {
  std::vector<std::string> result;
  model.cuts().visit_members(first, last,
                             [&](int position) { result.push_back(model.layer(position).name); });
  return result;
}

/// The next unused devices of each kind of the lane; `used` counts them.
std::vector<PlannedDevice> take_devices(const CostModel& model, int state,
                                        const std::vector<std::vector<int>>& numbers,
                                        std::vector<int>& used) {
  std::vector<PlannedDevice> result;
  for (int kind = 0; kind < model.states().kinds(); ++kind) {
    for (int i = 0; i < model.states().count(state, kind); ++i) {
      result.push_back({model.profile().kinds[kind].name, numbers[kind][used[kind]++]});
    }
  }
  return result;
}

}  // namespace

std::vector<std::string> feature_layers(const CostModel& model, const StageShape& shape) {
  return names(model, shape.run.first, shape.run.last);
}

std::map<std::string, Implementation> implementations(const CostModel& model,
                                                      const StageShape& shape,
                                                      const std::string& kind) {
  std::map<std::string, Implementation> result;
  model.cuts().visit_members(shape.first, shape.last, [&](int position) {
    const LayerCosts& layer = model.layer(position);
    const auto found = layer.implementation.find(kind);
    if (found == layer.implementation.end()) return;
    result[layer.name] = {found->second, found->second, found->second};
  });
  return result;
}

std::vector<double> feature_shares(const CostModel& model, const StageShape& shape,
                                   const PlanStage& stage, std::int64_t micro_batch) {
  if (shape.run.empty() || model.states().single_kind(shape.state) >= 0) return {};
  std::vector<double> shares;
  for (const PlannedDevice& device : stage.devices)
    shares.push_back(
        model.feature_part(shape, model.profile().kind_index(device.kind), micro_batch));
  return shares;
}

std::vector<double> update_shares(const CostModel& model, const StageShape& shape,
                                  const PlanStage& stage) {
  const Profile& profile = model.profile();
  if (model.states().single_kind(shape.state) >= 0 || !profile.training) return {};
  const std::vector<double> parts = model.update_parts(shape);
  std::vector<double> shares;  // unlike devices are workers of one thread each
  for (const PlannedDevice& device : stage.devices)
    shares.push_back(parts[static_cast<std::size_t>(profile.kind_index(device.kind))]);
  return shares;
}

void fill_predicted(const std::vector<StageOption>& stages, const Batching& batching, Plan& plan) {
  const bool apart = splits_backward(plan.schedule);
  const std::vector<int> lanes = lanes_of(plan);
  const Schedule schedule = make_schedule(plan.schedule, lanes, static_cast<int>(batching.count));
  const auto flights = in_flight(schedule);
  for (std::size_t s = 0; s < stages.size(); ++s) {
    const StageCost& cost = stages[s].cost;
    PlanStage& stage = plan.stages[s];
    const Passes full = passes(cost.full, apart);
    stage.forward_ns = full.forward_ns;
    stage.backward_ns = full.backward_ns;
    stage.weight_gradient_ns = full.weight_gradient_ns;
    stage.update_ns = cost.reduce_ns + cost.update_ns;
    stage.memory_bytes = whole_bytes(CostModel::memory_bytes(cost, batching, flights[s]));
  }
  const auto all = pointers(stages);
  plan.memory_bytes = whole_bytes(pipeline_bytes(all, batching, flights));
  if (plan.objective == Objective::period) {
    plan.value_ns = period_ns(all, lanes);
    return;
  }
  std::vector<StageTimes> times;
  fill_times(all, batching, apart, times);
  plan.value_ns = simulate_makespan_ns(schedule, times);
}

Plan assemble(const CostModel& model, const Candidate& candidate, Objective objective,
              const std::vector<std::vector<int>>& numbers) {
  Plan plan;
  plan.model = model.profile().model;
  plan.objective = objective;
  plan.batch = candidate.batching.batch;
  plan.micro_batch = candidate.batching.full;
  plan.micro_batches = candidate.batching.count;
  plan.schedule = candidate.schedule;
  std::vector<int> used(numbers.size(), 0);
  std::vector<std::vector<PlannedDevice>> devices;  // by lane
  for (std::size_t s = 0; s < candidate.stages.size(); ++s) {
    const StageOption& option = candidate.stages[s];
    const StageShape& shape = option.shape;
    const auto lane = static_cast<std::size_t>(candidate.lanes[s]);
    if (lane == devices.size()) devices.push_back(take_devices(model, shape.state, numbers, used));
    PlanStage& stage = plan.stages.emplace_back();
    stage.layers = names(model, shape.first, shape.last);
    stage.devices = devices[lane];
    for (const ShareGroup& group : option.shares) {
      stage.shares.insert(stage.shares.end(), static_cast<std::size_t>(group.replicas),
                          group.samples);
    }
    stage.split = shape.split;
    stage.feature_layers = feature_layers(model, shape);
    stage.feature_shares = feature_shares(model, shape, stage, plan.micro_batch);
    if (shape.recompute) stage.recompute = stage.layers;
    if (shape.again)
      for (const int p : *shape.again) stage.recompute.push_back(model.layer(p).name);
    stage.update_shares = update_shares(model, shape, stage);
    stage.implementations = implementations(model, shape, stage.devices.front().kind);
  }
  fill_predicted(candidate.stages, candidate.batching, plan);
  return plan;
}

}  // namespace millrace
