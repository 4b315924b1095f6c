// Another plan for cores of another speed, and a training that goes on under it.

#include "framework/plan_offer.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/linear.h>

#include <new>

#include "framework/planning.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

using ::testing::ElementsAre;

Model small_network() {
  Model model{.name = "small", .sample_shape = {6}, .classes = 4};
  model.add("fc1", torch::nn::Linear(6, 12)).add("relu", torch::nn::ReLU());
  model.add("fc2", torch::nn::Linear(12, 4));
  initialise(model, 3);
  return model;
}

/// Two cores that are alike; the whole model takes 300 ns a sample forward, and as much backward.
MeasuredProfile two_cores(const Model& model) {
  MeasuredProfile measured;
  measured.topology.kinds = {{"core", {0, 1}, 1.0, ""}};
  measured.topology.cores = {{0}, {1}};
  measured.topology.limits.allowed_cpus = {0, 1};
  measured.rates = {{0, 10}, {1, 10}};
  Profile& profile = measured.profile;
  profile.model = model.name;
  profile.samples = {1, 8};
  profile.kinds = {{"core", 2}};
  for (const Layer& made : model.layers) {
    LayerCosts layer;
    layer.name = made.name;
    layer.splits = {"samples"};
    layer.forward_ns = layer.backward_ns = {{"core", {100, 800}}};
    if (!profile.layers.empty())
      profile.tensors.push_back({profile.layers.back().name, {layer.name}, 4});
    profile.layers.push_back(layer);
  }
  return measured;
}

TrainSettings batch_of_7() {
  TrainSettings settings;
  settings.plan.batch = 7;
  settings.plan.micro_batch = 7;
  settings.plan.max_stages = 1;
  return settings;
}

TEST(PlanOffer, GivesASlowCoreLess) {
  const PlanOffer offer = offer_plan(two_cores(small_network()), batch_of_7(), {{0, 10}, {1, 4}});
  EXPECT_DOUBLE_EQ(offer.speeds.at(1), 0.4);
  ASSERT_EQ(offer.plan.stages.size(), 1u);
  EXPECT_THAT(offer.plan.stages[0].devices,
              ElementsAre(PlannedDevice{"big", 0}, PlannedDevice{"little", 1}));
  EXPECT_THAT(offer.plan.stages[0].shares, ElementsAre(5, 2));
  EXPECT_EQ(check_plan(offer.plan, offer.costs, batch_of_7().plan).value_ns, offer.plan.value_ns);
}

TEST(PlanOffer, LeavesOutACoreThatIsGone) {
  const MeasuredProfile base = two_cores(small_network());
  Topology machine = base.topology;
  machine.kinds.front().cpus = {1, 5};
  EXPECT_THAT(present_cpus(base, machine, "all"), ElementsAre(1));
  EXPECT_THAT(present_cpus(base, base.topology, "all"), ElementsAre(0, 1));
  EXPECT_THAT(present_cpus(base, base.topology, "0,7"), ElementsAre(0));
  const PlanOffer offer = offer_plan(base, batch_of_7(), {{1, 10}});
  EXPECT_THAT(offer.plan.stages[0].devices, ElementsAre(PlannedDevice{"core", 1}));
}

TEST(PlanOffer, SaysWhereNoPlanFits) {
  MeasuredProfile base = two_cores(small_network());
  base.profile.shared_memory_bytes = 1;
  base.profile.layers.front().weights_bytes = 100;
  EXPECT_THROW(offer_plan(base, batch_of_7(), {{0, 10}, {1, 4}}), NoPlanError);
}

TEST(PlanOffer, KeepsToALimitOfMemory) {
  MeasuredProfile base = two_cores(small_network());
  for (LayerCosts& layer : base.profile.layers) layer.saved_bytes = 1000;
  TrainSettings settings = batch_of_7();
  settings.plan.micro_batch.reset();
  settings.reserved_bytes = 500;
  const std::map<int, double> rates = {{0, 10}, {1, 10}};
  const std::int64_t usual = offer_plan(base, settings, rates).plan.memory_bytes;
  limit_memory(settings, usual * 3 / 4);
  const std::int64_t less = offer_plan(base, settings, rates).plan.memory_bytes;
  EXPECT_LE(less, usual * 3 / 4);
  settings.plan.memory_bytes = less;
  limit_memory(settings, usual);
  EXPECT_EQ(settings.plan.memory_bytes, less) << "what was asked for stays";
  limit_memory(settings, 1);
  EXPECT_THROW(offer_plan(base, settings, rates), NoPlanError);
}

/// Micro-batches of `micro_batch` on one core of this machine.
std::pair<Plan, Profile> on_one_core(const Model& model, std::int64_t micro_batch) {
  MeasuredProfile measured = two_cores(model);
  measured.topology = discover_topology({.list_gpus = false});
  CoreKind& kind = measured.topology.kinds.front();
  kind.name = "core";
  kind.cpus.resize(1);
  measured.topology.kinds.resize(1);
  measured.profile.kinds.front().count = 1;
  TrainSettings settings = batch_of_7();
  settings.plan.micro_batch = micro_batch;
  return {chosen_plans(measured, settings, 1).front(), measured.profile};
}

using State = std::vector<std::pair<std::string, at::Tensor>>;

State state_of(TrainStep& step) {
  State state;
  for (const StateTensor& tensor : step.state())
    state.emplace_back(tensor.name, at::from_blob(tensor.data, tensor.shape).clone());
  return state;
}

/// Weights and momentum after four steps, `meanwhile` after two of them.
State trained(const std::function<void(TrainStep&, const Model&)>& meanwhile) {
  const Model model = small_network();
  TrainSettings settings = batch_of_7();
  std::tie(settings.given_plan, settings.given_costs) = on_one_core(model, 7);
  TrainStep step = TrainStep::prepare(model, settings);
  at::manual_seed(5);
  for (int i = 0; i < 4; ++i) {
    if (i == 2) meanwhile(step, model);
    step.step({at::rand({7, 6}), at::randint(4, {7}, at::kLong)});
  }
  EXPECT_EQ(step.next_step(), 4);
  return state_of(step);
}

TEST(TakePlan, TheTrainingGoesOnAsUnderOnePlan) {
  const auto plain = trained([](TrainStep&, const Model&) {});
  const auto changed = trained([](TrainStep& step, const Model& model) {
    const auto [plan, costs] = on_one_core(model, 3);
    step.take_plan(plan, costs);
    EXPECT_EQ(step.plan().micro_batch, 3);
    EXPECT_EQ(step.next_step(), 2);
  });
  ASSERT_EQ(plain.size(), 8u) << "weights, biases and their momentum";
  for (std::size_t i = 0; i < plain.size(); ++i) {
    EXPECT_EQ(plain[i].first, changed[i].first);
    EXPECT_GT(plain[i].second.abs().max().item<float>(), 0) << plain[i].first;
    EXPECT_TRUE(at::allclose(plain[i].second, changed[i].second, 1e-5, 1e-6)) << plain[i].first;
  }
}

TEST(TakePlan, OneThatIsRefusedLeavesTheTrainingAsItIs) {
  const auto plain = trained([](TrainStep&, const Model&) {});
  const auto refused = trained([](TrainStep& step, const Model& model) {
    auto [plan, costs] = on_one_core(model, 3);
    plan.stages[0].devices[0].cpu = 100'000;
    EXPECT_THROW(step.take_plan(plan, costs), ConfigError);
    EXPECT_EQ(step.plan().micro_batch, 7);
  });
  for (std::size_t i = 0; i < plain.size(); ++i)
    EXPECT_TRUE(at::equal(plain[i].second, refused[i].second)) << plain[i].first;
}

TEST(TakePlan, OffersNothingForCostsThatThisMachineHasNotKept) {
  const Model model = small_network();
  TrainSettings settings = batch_of_7();
  settings.profile.cache_folder = ::testing::TempDir() + "millrace-no-profiles";
  std::tie(settings.given_plan, settings.given_costs) = on_one_core(model, 7);
  EXPECT_FALSE(TrainStep::prepare(model, settings).offer_plan());
}

TEST(HeldUpdates, LeaveTheStateAsItIsUntilThen) {
  int held = 0;
  const auto expect_same = [](const State& before, const State& now) {
    for (std::size_t i = 0; i < before.size(); ++i)
      EXPECT_TRUE(at::equal(before[i].second, now[i].second)) << before[i].first;
  };
  trained([&](TrainStep& step, const Model& model) {
    const State before = state_of(step);
    step.hold_updates([&] {
      expect_same(before, state_of(step));
      ++held;
    });
    const auto [plan, costs] = on_one_core(model, 3);
    step.take_plan(plan, costs);
    EXPECT_EQ(held, 1) << "another plan waits, too";
    step.step({at::rand({7, 6}), at::randint(4, {7}, at::kLong)});
    EXPECT_EQ(held, 2);
    step.hold_updates({});
    step.set_next_step(2);
  });
  EXPECT_EQ(held, 2);
}

/// Throws when its pass number `fails_at`, counted down, comes.
struct BreakingImpl : torch::nn::Cloneable<BreakingImpl> {
  void reset() override {}
  at::Tensor forward(const at::Tensor& x) {
    if (fails_at-- == 0) throw std::bad_alloc();
    return x * 2;
  }
  static inline int fails_at = -1;
};
TORCH_MODULE(Breaking);

TEST(FailedStep, TrainedAgainGivesTheBitsOfOneThatNeverFailed) {
  const auto train = [](int fails_at) {
    Model model = small_network();
    model.layers.insert(model.layers.begin() + 1,
                        Layer{"breaking", {}, torch::nn::AnyModule(Breaking())});
    TrainSettings settings = batch_of_7();
    std::tie(settings.given_plan, settings.given_costs) = on_one_core(model, 2);
    TrainStep step = TrainStep::prepare(model, settings);
    at::manual_seed(5);
    BreakingImpl::fails_at = fails_at;
    for (int i = 0; i < 3; ++i) {
      const Batch batch{at::rand({7, 6}), at::randint(4, {7}, at::kLong)};
      try {
        step.step(batch);
      } catch (const std::bad_alloc&) {
        EXPECT_TRUE(step.state_is_whole());
        EXPECT_EQ(step.next_step(), i);
        step.step(batch);
      }
    }
    EXPECT_LT(BreakingImpl::fails_at, 0) << "it has failed, or was not to";
    return state_of(step);
  };
  const State plain = train(-1), broken = train(6);  // the third of four micro-batches of step 1
  for (std::size_t i = 0; i < plain.size(); ++i)
    EXPECT_TRUE(at::equal(plain[i].second, broken[i].second)) << plain[i].first;
}

}  // namespace
}  // namespace millrace
