// Steps under costs that say nothing true: the best few plans tried, steps rehearsed, their memory.

#include "framework/refine.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <algorithm>

#include "framework/layers/caching_allocator.hpp"
#include "framework/planning.hpp"
#include "millrace/plan.hpp"

namespace millrace {
namespace {

Model small_model() {
  Model model{.name = "small", .sample_shape = {6}, .classes = 4};
  model.add("fc1", torch::nn::Linear(6, 12)).add("bn", torch::nn::BatchNorm1d(12));
  model.add("relu", torch::nn::ReLU()).add("fc2", torch::nn::Linear(12, 4));
  initialise(model, 3);
  return model;
}

/// One core of this machine, named twice as fast as it is in anything.
MeasuredProfile made_up(const Model& model) {
  MeasuredProfile measured;
  measured.topology = discover_topology({.list_gpus = false});
  CoreKind kind = measured.topology.kinds.front();
  kind.cpus.resize(1);
  measured.topology.kinds = {kind};
  Profile& profile = measured.profile;
  profile.model = model.name;
  profile.training = true;
  profile.samples = {1, 8};
  profile.kinds = {{kind.name, 1}};
  for (const LayerFacts& facts : check_model(model)) {
    LayerCosts layer;
    layer.name = facts.name;
    layer.splits = {"samples"};
    layer.forward_ns = layer.backward_ns = {{kind.name, {100, 800}}};
    if (!profile.layers.empty())
      profile.tensors.push_back({profile.layers.back().name, {layer.name}, 4});
    profile.layers.push_back(layer);
  }
  return measured;
}

std::vector<at::Tensor> copies(const Model& model) {
  std::vector<at::Tensor> result;
  for (const auto& [name, value] : named_parameters(model)) result.push_back(value.clone());
  for (const auto& [name, value] : named_buffers(model)) result.push_back(value.clone());
  return result;
}

TEST(Refine, TakesTheFastestAndLeavesTheModelAsItWas) {
  const Model model = small_model();
  const auto before = copies(model);
  TrainSettings settings;
  settings.plan.batch = 8;
  settings.plan.statistics = BatchStatistics::micro_batch;
  settings.optimizer.weight_decay = 0.1;
  const RefinedPlan refined = refine(model, made_up(model), settings, 3,
                                     {at::rand({8, 6}), at::randint(4, {8}, at::kLong)});
  const auto after = copies(model);
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(at::equal(before[i], after[i])) << i;
  ASSERT_EQ(refined.tried.size(), 3u);
  EXPECT_EQ(refined.tried[0].predicted_ns, 8 * 800);
  const auto fastest = std::min_element(
      refined.tried.begin(), refined.tried.end(),
      [](const TriedPlan& a, const TriedPlan& b) { return a.measured_ns < b.measured_ns; });
  EXPECT_EQ(refined.plan.micro_batch, fastest->plan.micro_batch);
  EXPECT_NEAR(refined.plan.value_ns, fastest->measured_ns, 1e-6 * fastest->measured_ns);
  EXPECT_EQ(check_plan(refined.plan, refined.costs, settings.plan).value_ns, refined.plan.value_ns);
}

/// The weights after two steps, the first `rehearsed` ones of which are for their time alone.
std::vector<at::Tensor> trained(int rehearsed) {
  const Model model = small_model();
  TrainSettings settings;
  settings.plan.batch = 8;
  settings.plan.statistics = BatchStatistics::micro_batch;
  settings.optimizer.weight_decay = 0.1;
  settings.given_costs = made_up(model).profile;
  settings.given_plan = chosen_plans(made_up(model), settings, 1).front();
  TrainStep step = TrainStep::prepare(model, settings);
  at::manual_seed(5);
  const Batch batch{at::rand({8, 6}), at::randint(4, {8}, at::kLong)};
  for (int i = 0; i < rehearsed; ++i) step.rehearse(batch);
  if (rehearsed > 0) step.end_rehearsal();
  EXPECT_EQ(step.next_step(), 0);
  for (int i = 0; i < 2; ++i) step.step(batch);
  return copies(model);
}

TEST(Rehearse, LeavesTheTrainingAsItWouldHaveBeen) {
  const auto plain = trained(0), rehearsed = trained(3);
  for (std::size_t i = 0; i < plain.size(); ++i)
    EXPECT_TRUE(at::equal(plain[i], rehearsed[i])) << i;
}

Model convolutions() {
  Model model{.name = "convolutions", .sample_shape = {3, 64, 64}, .classes = 4};
  int channels = 3;
  for (const int filters : {32, 48, 64}) {
    const std::string number = std::to_string(filters);
    const auto conv = torch::nn::Conv2dOptions(channels, filters, 3).padding(1);
    model.add("conv" + number, torch::nn::Conv2d(conv)).add("relu" + number, torch::nn::ReLU());
    model.add("pool" + number, torch::nn::MaxPool2d(2));
    channels = filters;
  }
  model.add("flatten", torch::nn::Flatten()).add("fc", torch::nn::Linear(64 * 8 * 8, 4));
  initialise(model, 3);
  return model;
}

/// Where each block takes the lowest free range, it is 1.4 times as much.
TEST(Step, TakesLittleMoreMemoryThanIsInUseAtATime) {
  const Model model = convolutions();
  TrainSettings settings;
  settings.plan.batch = 16;
  settings.given_costs = made_up(model).profile;
  settings.given_plan = chosen_plans(made_up(model), settings, 1).front();
  TrainStep step = TrainStep::prepare(model, settings);
  const Batch batch{at::rand({16, 3, 64, 64}), at::randint(4, {16}, at::kLong)};
  step.step(batch);
  reset_allocator_peak();
  for (int i = 0; i < 3; ++i) step.step(batch);
  const AllocatorStatistics after = allocator_statistics();
  EXPECT_LE(after.cached_bytes + after.in_use_bytes, after.peak_bytes * 5 / 4);
}

}  // namespace
}  // namespace millrace
