#include "tests/transparency/pipelined_training.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <random>

#include "framework/execute/executor.hpp"
#include "framework/layers/layer_op.hpp"
#include "framework/stages/build_stages.hpp"

namespace millrace::test {
namespace {

/// Every layer behind those that it reads.
std::vector<std::size_t> running_order(const std::vector<LayerFacts>& facts, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::size_t> order;
  std::vector<bool> done(facts.size(), false);
  while (order.size() < facts.size()) {
    std::vector<std::size_t> ready;
    for (std::size_t l = 0; l < facts.size(); ++l) {
      const std::vector<int>& reads = facts[l].producers;
      const bool can = std::all_of(reads.begin(), reads.end(), [&](int from) {
        return from == kSample || done[static_cast<std::size_t>(from)];
      });
      if (!done[l] && can) ready.push_back(l);
    }
    order.push_back(ready[seed == 0 ? 0 : random() % ready.size()]);
    done[order.back()] = true;
  }
  return order;
}

/// Places first … last - 1 of `order` as a stage of `shape`.
PlanStage make_stage(const Model& model, const std::vector<LayerFacts>& facts,
                     const std::vector<std::size_t>& order, std::size_t first, std::size_t last,
                     const Shape& shape, int lane) {
  PlanStage stage;
  for (std::size_t place = first; place < last; ++place) {
    const std::size_t l = order[place];
    stage.layers.push_back(facts[l].name);
    if (shape.features && can_split_features(facts[l]))
      stage.feature_layers.push_back(facts[l].name);
    if (shape.recompute && l % 5 != 2) stage.recompute.push_back(facts[l].name);
    const auto known = implementations_of(model.layers[l], facts[l]);
    const auto chosen = std::find_first_of(shape.implementations.begin(),
                                           shape.implementations.end(), known.begin(), known.end());
    if (chosen != shape.implementations.end())
      stage.implementations[facts[l].name].forward = *chosen;
  }
  stage.shares = shares_of(shape.shares, shape.micro_batch);
  if (stage.shares.front() != stage.shares.back())  // as of unequal cores
    for (const std::int64_t share : stage.shares)
      stage.update_shares.push_back(static_cast<double>(share) /
                                    static_cast<double>(shape.micro_batch));
  if (!stage.feature_layers.empty()) stage.feature_shares = stage.update_shares;
  stage.split = stage.feature_layers.empty() ? Split::samples : Split::features;
  const auto workers = static_cast<int>(shape.shares.size());
  for (int r = 0; r < workers; ++r) stage.devices.push_back({"core", lane * workers + r});
  return stage;
}

}  // namespace

std::string Shape::text() const {
  return fmt::format("{} stages on {} lanes, shares {}, b = {}, {}{}{} {}, order {}", stages,
                     lanes == 0 ? stages : lanes, fmt::join(shares, ":"), micro_batch, schedule,
                     recompute ? ", recompute" : "", features ? ", features" : "",
                     fmt::join(implementations, ", "), order);
}

Plan make_plan(const Model& model, std::int64_t batch, const Shape& shape) {
  const std::vector<LayerFacts> facts = check_model(model);
  Plan plan;
  plan.model = model.name;
  plan.batch = batch;
  plan.micro_batch = shape.micro_batch;
  plan.micro_batches = (batch + shape.micro_batch - 1) / shape.micro_batch;
  plan.schedule = shape.schedule;
  const auto stages = static_cast<std::size_t>(shape.stages);
  const auto order = running_order(facts, shape.order);
  for (std::size_t s = 0; s < stages; ++s)
    plan.stages.push_back(
        make_stage(model, facts, order, s * facts.size() / stages, (s + 1) * facts.size() / stages,
                   shape, static_cast<int>(s) % (shape.lanes > 0 ? shape.lanes : shape.stages)));
  return plan;
}

NamedTensors train_by_plan(const Model& model, const Plan& plan, const std::vector<Batch>& batches,
                           const OptimizerSettings& optimizer, std::uint64_t seed) {
  StageSet stages = build_stages(model, check_model(model), plan, optimizer, {}, seed);
  const std::vector<int> lanes = lanes_of(plan);
  std::vector<std::vector<WorkerPlace>> places;
  for (std::size_t s = 0; s < lanes.size(); ++s)
    if (lanes[s] == static_cast<int>(places.size()))
      places.emplace_back(static_cast<std::size_t>(plan.stages[s].workers()));
  Executor executor(stages.runners(), lanes, places);
  Executor::Options options;
  if (stages.clips_gradients()) options = {true, [&stages] { stages.clip_gradients(); }};
  for (std::size_t step = 0; step < batches.size(); ++step) {
    const auto samples = batches[step].inputs.size(0);
    stages.begin_training(batches[step].inputs, batches[step].targets,
                          static_cast<std::int64_t>(step));
    executor.run(
        make_schedule(plan.schedule, lanes,
                      static_cast<int>((samples + plan.micro_batch - 1) / plan.micro_batch)),
        options);
  }
  NamedTensors result = weights_of(model);
  result["loss"] = at::tensor(stages.results().loss, at::kFloat);
  const at::Tensor& last = batches.back().inputs;
  stages.begin_prediction(last);
  executor.run(
      make_schedule("forward-only", lanes,
                    static_cast<int>((last.size(0) + plan.micro_batch - 1) / plan.micro_batch)));
  result["outputs"] = stages.outputs();
  return result;
}

Difference compare(const NamedTensors& expected, const NamedTensors& actual) {
  Difference worst;
  for (const auto& [name, a] : expected) {
    const double scale = a.abs().max().item<double>();
    const double value = (a - actual.at(name)).abs().max().item<double>() / scale;
    if (!(value <= worst.value)) worst = {value, name};
  }
  return worst;
}

}  // namespace millrace::test
