#include "framework/plan/cost_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "framework/plan/bounds.hpp"
#include "framework/plan/pipeline.hpp"
#include "millrace/errors.hpp"
#include "tests/framework/plan/cost_fixtures.hpp"
#include "tests/framework/plan/random_costs.hpp"

namespace millrace {
namespace {

using testing::HasSubstr;

/// conv -> fc -> relu on 2 big, 1 little (4 times slower) and a GPU behind a link; one count, so
/// that costs are proportional. Weights: 100, 900, 0 bytes.
Profile board() {
  Profile profile;
  profile.model = "net";
  profile.samples = {1};
  profile.kinds = {{"big", 2}, {"little", 1}, {"gpu", 1, std::nullopt, 0.5, 10}};
  const auto layer = [&](const char* name, const char* type, double ns, double weights) {
    LayerCosts costs;
    costs.name = name;
    costs.type = type;
    costs.weights_bytes = weights;
    costs.saved_bytes = 8;
    costs.splits = {"samples", "threads", "features"};
    for (const auto& [kind, slow] : {std::pair{"big", 1.0}, {"little", 4.0}, {"gpu", 0.5}}) {
      costs.forward_ns[kind] = {slow * ns};
      costs.backward_ns[kind] = {2 * slow * ns};
      costs.update_ns[kind] = slow * weights * 0.3;
    }
    costs.threads_ns = PassWidths{{{"big", {{2, {0.6 * ns}}}}}, {{"big", {{2, {1.2 * ns}}}}}};
    costs.loaded = {{"big", 1.5}};
    return costs;
  };
  profile.layers = {layer("conv", "conv2d", 100, 100), layer("fc", "linear", 40, 900),
                    layer("relu", "relu", 10, 0)};
  for (int l : {1, 2}) {
    const double ns = l == 1 ? 22 : 5;
    profile.layers[std::size_t(l)].features_ns =
        PassWidths{{{"big", {{2, {ns}}}}}, {{"big", {{2, {2 * ns}}}}}};
  }
  profile.layers[0].splits = {"samples", "threads"};
  profile.tensors = {{"conv", {"fc"}, 20}, {"fc", {"relu"}, 6}};
  return profile;
}

struct Model {
  Profile profile = board();
  CostModel model;
  explicit Model(Objective objective = Objective::makespan, Profile costs = board())
      : profile(std::move(costs)), model(profile, {2, 1, 1}, objective) {}

  int big(int n) const { return model.states().state_of(0, n); }
  int little() const { return model.states().state_of(1, 1); }
  int gpu() const { return model.states().state_of(2, 1); }

  StageShape features(int first, int last, int state) const {
    return model.shape(first, last, state, Split::features, 1, true);
  }
  FeatureRun feature_run(int first, int last, int state) const {
    return features(first, last, state).run;
  }

  StageCost cost(const StageShape& shape, Batching batching) const {
    return model.cost(shape, batching, model.best_shares(shape, batching.full));
  }
};

TEST(CostModel, OneDeviceAloneTakesTheTimesAsTheyAre) {
  const Model m;
  const StageCost cost = m.cost({0, 3, m.big(1), Split::samples, 1, false, true}, Batching(8, 4));
  EXPECT_DOUBLE_EQ(cost.full.forward_ns, 4 * 150);
  EXPECT_DOUBLE_EQ(cost.full.backward_ns, 8 * 150);
  EXPECT_DOUBLE_EQ(cost.update_ns, 300);
  EXPECT_EQ(cost.reduce_ns, 0);
}

TEST(CostModel, BesideOthersItIsLoaded) {
  const Model m;
  const StageCost cost = m.cost({0, 3, m.big(1)}, Batching(8, 4));
  EXPECT_DOUBLE_EQ(cost.full.forward_ns, 1.5 * 4 * 150);
  EXPECT_DOUBLE_EQ(cost.update_ns, 1.5 * 300);
}

TEST(CostModel, SharesFollowTheSpeedAndTheLastMicroBatchItsOwn) {
  const Model m;
  const int both = m.big(2) + m.little();
  const StageShape shape{0, 3, both, Split::samples, 1, false, true};
  const ShareGroups shares = m.model.best_shares(shape, 11);
  ASSERT_EQ(shares.size(), 2);
  EXPECT_EQ(shares.begin()[0].samples, 5);  // loaded: 1.5 x 450 against 4 x 450 for a sample
  EXPECT_EQ(shares.begin()[1].samples, 1);
  const StageCost cost = m.model.cost(shape, Batching(15, 11), shares);
  EXPECT_DOUBLE_EQ(cost.full.forward_ns, 5 * 1.5 * 150);
  // 4 of 11 samples: shares 5, 5, 1 scaled to 1.82, 1.82, 0.36 give 2, 2, 0.
  EXPECT_DOUBLE_EQ(cost.rest.forward_ns, 2 * 1.5 * 150);
}

TEST(CostModel, ReplicasReduceAndShareTheUpdate) {
  const Model m;
  const StageCost cost = m.cost({0, 3, m.big(2), Split::samples, 1, false, true}, Batching(8, 8));
  EXPECT_DOUBLE_EQ(cost.full.forward_ns, 1.5 * 4 * 150);
  EXPECT_DOUBLE_EQ(cost.update_ns, 1.5 * 300 / 2);
  EXPECT_DOUBLE_EQ(cost.reduce_ns, cost.update_ns / 3);
  const StageCost mixed = m.cost({0, 3, m.big(2) + m.little()}, Batching(8, 8));
  const double big = 1.5 * 300, little = 4 * 300;  // parts of the weights that take the same time
  EXPECT_DOUBLE_EQ(mixed.update_ns, 1 / (2 / big + 1 / little));
  EXPECT_DOUBLE_EQ(mixed.reduce_ns, 2 * mixed.update_ns / 3);
  const auto parts = m.model.update_parts({0, 3, m.big(2) + m.little()});
  EXPECT_DOUBLE_EQ(2 * parts[0] + parts[1], 1);
  EXPECT_DOUBLE_EQ(parts[0] * big, parts[1] * little);
}

TEST(CostModel, ATeamOfThreadsIsOneReplica) {
  const Model m;
  StageShape shape{0, 3, m.big(2), Split::threads, 2, false, true};
  StageCost cost = m.cost(shape, Batching(8, 8));
  EXPECT_DOUBLE_EQ(cost.full.forward_ns, 8 * 0.6 * 150);  // nobody else is busy
  EXPECT_EQ(cost.reduce_ns, 0);
  EXPECT_DOUBLE_EQ(cost.update_ns, 1.5 * 300 / 2);
  shape.sole = false;
  EXPECT_DOUBLE_EQ(m.cost(shape, Batching(8, 8)).full.forward_ns, 1.5 * 8 * 0.6 * 150);
}

TEST(CostModel, FeaturesDivideTheRunAndSamplesTheRest) {
  const Model m;
  const StageShape shape = m.features(0, 3, m.big(2));
  EXPECT_EQ(m.feature_run(0, 3, m.big(2)), (FeatureRun{1, 3}));
  const StageCost cost = m.cost(shape, Batching(8, 8));
  EXPECT_DOUBLE_EQ(cost.full.forward_ns, 1.5 * 4 * 100 + 8 * (22 + 5));
  EXPECT_DOUBLE_EQ(cost.full.backward_ns, 2 * cost.full.forward_ns);
  EXPECT_DOUBLE_EQ(cost.reduce_ns, 1.5 * 30 / 2 / 3);  // conv's gradient only
  EXPECT_DOUBLE_EQ(cost.fixed_bytes, 3 * 1000 + 100);
}

TEST(CostModel, UnlikeDevicesTakeEquallyLongForTheirSlices) {
  const Model m;
  const StageShape shape = m.features(0, 3, m.big(1) + m.little());
  const double all = 1 / 225.0 + 1 / 600.0;  // fc and relu, under load
  for (const auto& [kind, ns] : {std::pair{0, 225.0}, {1, 600.0}})
    EXPECT_DOUBLE_EQ(m.model.feature_part(shape, kind, 8), 1 / ns / all);
  // Of conv: 6 samples take 900 + 1,800 ns, the other 2 take 800 + 1,600.
  EXPECT_EQ(m.model.best_shares(shape, 8).begin()->samples, 6);
  const StageCost cost = m.cost(shape, Batching(8, 8));
  EXPECT_DOUBLE_EQ(cost.full.forward_ns, 900 + 8 / all / 3);
  EXPECT_DOUBLE_EQ(cost.full.backward_ns, 1800 + 8 / all * 2 / 3);
}

TEST(CostModel, AFeatureRunStartsAtALinearLayer) {
  const Model m;
  EXPECT_TRUE(m.feature_run(0, 1, m.big(2)).empty());
  EXPECT_TRUE(m.feature_run(2, 3, m.big(2)).empty());  // the relu alone
  EXPECT_EQ(m.feature_run(0, 2, m.big(2)), (FeatureRun{1, 2}));
  EXPECT_TRUE(m.feature_run(0, 3, m.big(1)).empty());
}

TEST(CostModel, RecomputationRunsForwardAgainAndKeepsTheInput) {
  const Model m;
  const Batching batching(8, 2);
  const StageCost plain = m.cost({1, 3, m.big(1)}, batching);
  const StageCost again = m.cost({1, 3, m.big(1), Split::samples, 1, true}, batching);
  EXPECT_DOUBLE_EQ(again.full.backward_ns, plain.full.backward_ns + plain.full.forward_ns);
  EXPECT_EQ(plain.flight_bytes, 16);
  EXPECT_EQ(again.flight_bytes, 20);  // here the input is larger than what it saves
  EXPECT_EQ(again.fixed_bytes, plain.fixed_bytes + 2 * 16);
  EXPECT_EQ(m.cost({0, 1, m.big(1), Split::samples, 1, true}, batching).flight_bytes, 0);
}

TEST(CostModel, SerialTransfersOccupyTheDevice) {
  const Model m;
  const StageCost cost = m.cost({1, 2, m.gpu()}, Batching(8, 4));
  // In: 20 bytes, out: 6 bytes a sample; activations forward, gradients of the same size backward.
  const double link = 4 * (20 + 6) * 0.5 + 2 * 10;
  EXPECT_DOUBLE_EQ(cost.full.forward_ns, 4 * 20 + link);
  EXPECT_DOUBLE_EQ(cost.full.backward_ns, 4 * 40 + link);
  EXPECT_EQ(cost.full.links.in_forward_ns, 0);
}

TEST(CostModel, OverlappedTransfersAreApart) {
  Profile profile = board();
  profile.overlapped_transfers = true;
  const Model m(Objective::period, profile);
  const StageCost cost = m.cost({1, 2, m.gpu()}, Batching(8, 4));
  EXPECT_DOUBLE_EQ(cost.full.forward_ns, 4 * 20);
  EXPECT_DOUBLE_EQ(cost.full.links.in_forward_ns, 4 * 20 * 0.5 + 10);
  EXPECT_DOUBLE_EQ(cost.full.links.out_forward_ns, 4 * 6 * 0.5 + 10);
  EXPECT_DOUBLE_EQ(cost.full.links.in_backward_ns, 4 * 6 * 0.5 + 10);
  EXPECT_DOUBLE_EQ(cost.full.links.out_backward_ns, 4 * 20 * 0.5 + 10);
  EXPECT_DOUBLE_EQ(cost.load_ns, std::max({4 * 60.0, 50.0 + 22.0, 22.0 + 50.0}));
}

TEST(CostModel, TheLoadOfAPeriodIsTheBusiestDevices) {
  const Model m(Objective::period);
  const StageCost cost = m.cost({0, 1, m.big(1) + m.gpu()}, Batching(8, 8));
  // Big: 450 a sample; GPU: 150 and its link's 20 x 0.5 twice, and 2 x 10.
  EXPECT_DOUBLE_EQ(cost.load_ns, std::max(2 * 450.0, 6 * 150 + 2 * (6 * 10 + 10.0)));
}

TEST(CostModel, MemoryOfAStage) {
  Profile profile = board();
  profile.layers[0].workspace_bytes = 50;
  profile.layers[1].workspace_bytes = 70;
  const Model m(Objective::makespan, profile);
  const Batching batching(10, 4);
  const StageCost cost = m.cost({0, 3, m.big(2)}, batching);
  EXPECT_EQ(cost.fixed_bytes, 3 * 1000 + 1000 + 2 * 70);
  profile.layers[2].workspace_bytes_per_sample = 40;  // of 2 samples each
  EXPECT_EQ(Model(Objective::makespan, profile).cost({0, 3, m.big(2)}, batching).fixed_bytes,
            3 * 1000 + 1000 + 2 * 80);
  EXPECT_EQ(CostModel::memory_bytes(cost, batching, {}), cost.fixed_bytes);
  EXPECT_EQ(CostModel::memory_bytes(cost, batching, {2}), cost.fixed_bytes + 24 * 8);
  EXPECT_EQ(CostModel::memory_bytes(cost, batching, {3}), cost.fixed_bytes + 24 * 10);  // the batch
}

TEST(CostModel, ADeferredGradientTakesNoMemoryAndNoReduction) {
  Profile profile = board();
  const Model before(Objective::makespan, profile);
  profile.layers[0].deferred_bytes = 5;
  const Model m(Objective::makespan, profile);
  const Batching batching(10, 4);
  const StageShape two{0, 1, m.big(2)};
  const double weights = profile.layers[0].weights_bytes;
  EXPECT_EQ(m.cost(two, batching).fixed_bytes,
            before.cost(two, batching).fixed_bytes - 2 * weights + 5 * 10);
  EXPECT_GT(before.cost(two, batching).reduce_ns, 0);
  EXPECT_EQ(m.cost(two, batching).reduce_ns, 0);
  EXPECT_EQ(m.cost(two, batching).update_ns, before.cost(two, batching).update_ns);
}

TEST(CostModel, ADevicesOwnBudget) {
  Profile profile = board();
  profile.kinds[0].memory_bytes = 3 * 100 + 3 * 900 / 2.0 + 8 * 2 + 16 * 4 / 2.0;
  const Model m(Objective::makespan, profile);
  const Batching batching(4, 4);
  const StageShape features = m.features(0, 3, m.big(2));
  const ShareGroups shares = m.model.best_shares(features, 4);
  EXPECT_FALSE(m.model.broken_budget(features, batching, shares, {1}));
  const StageShape samples{0, 3, m.big(2), Split::samples, 1, false, true};
  const auto broken = m.model.broken_budget(samples, batching, shares, {1});
  ASSERT_TRUE(broken);  // a replica needs all weights
  EXPECT_EQ(broken->kind, "big");
  EXPECT_EQ(broken->needed_bytes, 3 * 1000 + 24 * 2);
  const StageShape gpu{0, 3, m.gpu()};  // has no budget
  EXPECT_FALSE(m.model.broken_budget(gpu, batching, m.model.best_shares(gpu, 4), {1}));
}

TEST(CostModel, SaysWhyAShapeIsNotAllowed) {
  Profile profile = board();
  profile.layers[2].splits = {"features"};
  profile.layers[0].forward_ns.erase("little");
  profile.layers[0].backward_ns.erase("little");
  const Model m(Objective::makespan, profile);
  const auto reason = [&](const StageShape& shape) { return m.model.why_not(shape); };
  EXPECT_EQ(reason({0, 3, m.big(1)}), "");
  EXPECT_THAT(reason({0, 3, m.little()}), HasSubstr("\"conv\" has no costs on \"little\""));
  EXPECT_THAT(reason({1, 3, m.big(2)}), HasSubstr("\"relu\" does not list \"samples\""));
  EXPECT_THAT(reason({0, 3, m.big(2), Split::threads, 2}), HasSubstr("\"relu\" has no threads_ns"));
  EXPECT_EQ(reason({0, 2, m.big(2), Split::threads, 2}), "");
  EXPECT_EQ(reason(m.features(0, 3, m.big(2))), "");
  EXPECT_THAT(reason(m.features(0, 1, m.big(2))), HasSubstr("no linear layer"));
  EXPECT_THAT(reason(m.features(0, 3, m.big(1) + m.gpu())), HasSubstr("share one memory"));
  EXPECT_THAT(reason(m.features(0, 3, m.big(1) + m.little())),
              HasSubstr("\"conv\" has no costs on \"little\""));
  EXPECT_THAT(reason({0, 3, m.big(1) + m.gpu(), Split::threads, 2}), HasSubstr("of one kind"));
}

TEST(CostModel, EveryRefusalHasAReason) {
  std::mt19937 random(17);
  int refused = 0;
  for (int round = 0; round < 100; ++round) {
    const auto instance = fixtures::random_instance(random);
    std::vector<int> counts;
    for (const auto& kind : instance.profile.kinds) counts.push_back(kind.count);
    const CostModel model(instance.profile, counts, Objective::makespan);
    for (int state = 1; state < model.states().size(); ++state) {
      for (const Split split : {Split::samples, Split::threads, Split::features}) {
        const int width = split == Split::threads ? model.states().devices(state) : 1;
        const StageShape shape = model.shape(0, model.cuts().all(), state, split, width, false);
        EXPECT_EQ(model.allows(shape), model.why_not(shape).empty());
        refused += model.allows(shape) ? 0 : 1;
      }
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(CostModel, TooManyKindsAreRefused) {
  Profile profile = fixtures::plain_chain({1}, 1);
  for (int k = 0; k < 8; ++k) profile.kinds.push_back({"kind" + std::to_string(k), 1});
  EXPECT_THROW(CostModel(profile, std::vector<int>(9, 1), Objective::makespan), ConfigError);
}

TEST(CostModel, TheTwoPartsOfBackward) {
  Profile profile = fixtures::plain_chain({10, 20}, 2);
  LayerCosts& second = profile.layers[1];
  second.input_gradient_ns["core"] = {15};
  second.weight_gradient_ns["core"] = {30};
  second.weight_gradient_bytes = 7;
  second.loaded["core"] = 2;
  profile.tensors.front().bytes = 1;
  profile.kinds.front().link_ns_per_byte = 3;
  const CostModel model(profile, {2}, Objective::makespan);
  const auto cost = [&](StageShape shape, const Batching& batching) {
    return model.cost(shape, batching, model.best_shares(shape, batching.full));
  };
  StageShape both = model.shape(0, 2, model.states().state_of(0, 1), Split::samples, 1, true);
  EXPECT_EQ(cost(both, Batching(4, 4)).full.input_gradient_ns, 4 * (20 + 15));
  EXPECT_EQ(cost(both, Batching(4, 4)).full.weight_gradient_ns, 4 * 30);
  EXPECT_EQ(cost(both, Batching(4, 4)).kept_bytes, 7);
  both.recompute = true;
  EXPECT_EQ(cost(both, Batching(4, 4)).full.input_gradient_ns, 4 * (20 + 15 + 30));
  const StageCost last = cost(
      model.shape(1, 2, model.states().state_of(0, 1), Split::samples, 1, false), Batching(5, 4));
  EXPECT_EQ(last.full.input_gradient_ns, 4 * (2 * 15 + 3));  // loaded, and the way back
  EXPECT_EQ(last.full.weight_gradient_ns, 4 * 2 * 30);
  EXPECT_EQ(last.rest.weight_gradient_ns, 2 * 30);
}

/// Whole: 60 a sample; apart 35 and 30, of which a quarter is early.
TEST(LeastWork, OfTheTwoPartsOfBackward) {
  Profile profile = fixtures::plain_chain({20}, 2);
  profile.layers[0].input_gradient_ns["core"] = {15};
  profile.layers[0].weight_gradient_ns["core"] = {30};
  const CostModel model(profile, {2}, Objective::makespan);
  const LeastWork apart = least_work(model, 2, 1, false, {false, true, 0.25});
  EXPECT_EQ(apart.compute_ns[0], 2 * 65);
  EXPECT_EQ(apart.back_ns[0], 2 * (35 + 7.5));
  const LeastWork either = least_work(model, 2, 1, false, {true, true, 1});
  EXPECT_EQ(either.compute_ns[0], 2 * 60);
  EXPECT_EQ(either.back_ns[0], 2 * 60);
  EXPECT_TRUE(least_work(model, 2, 1, false).back_ns.empty());
}

TEST(LeastWork, IsAtMostWhatAnySplitTakes) {
  const Model m;
  const LeastWork work = least_work(m.model, 8, 4, false);
  EXPECT_DOUBLE_EQ(work.compute_ns[0], 8 * 1.5 * 300);   // conv on a big core, loaded
  EXPECT_DOUBLE_EQ(work.compute_ns[1 * 3 + 2], 8 * 60);  // fc on the GPU
  EXPECT_DOUBLE_EQ(work.update_ns[1 * 3 + 1], 4 * 270);
  const LeastWork sole = least_work(m.model, 8, 4, true);
  EXPECT_DOUBLE_EQ(sole.compute_ns[0], 8 * 300);
}

TEST(BalanceBound, IsExactWhereSpeedsDifferByAFactorOnly) {
  const Profile profile = fixtures::plain_chain({10, 20, 30}, 4);
  const CostModel model(profile, {4}, Objective::makespan);
  BalanceBound bound(std::pmr::get_default_resource());
  const LeastWork work = least_work(model, 8, 8, false);
  bound.choose_weights(model, work);
  bound.set_work(model, work);
  EXPECT_DOUBLE_EQ(bound.compute_ns(4, 0, 3), 8 * 3 * 60 / 4.0);
  EXPECT_DOUBLE_EQ(bound.compute_ns(2, 1, 2), 8 * 3 * 20 / 2.0);
  EXPECT_DOUBLE_EQ(bound.whole_ns(model, work, 4, false), bound.compute_ns(4, 0, 3));
}

TEST(BalanceBound, KindsThatAreGoodAtDifferentLayersShareThem) {
  Profile profile = fixtures::plain_chain({10, 10}, 1);
  profile.kinds.push_back({"other", 1});
  for (int l : {0, 1}) {
    auto& layer = profile.layers[std::size_t(l)];
    layer.forward_ns["other"] = {l == 0 ? 100.0 : 10.0};
    layer.backward_ns["other"] = {l == 0 ? 200.0 : 20.0};
  }
  const CostModel model(profile, {1, 1}, Objective::makespan);
  BalanceBound bound(std::pmr::get_default_resource());
  const LeastWork work = least_work(model, 4, 4, false);
  bound.choose_weights(model, work);
  bound.set_work(model, work);
  // Each layer on its own device takes 120; no division can do better.
  EXPECT_NEAR(bound.compute_ns(model.states().all(), 0, 2), 120, 1);
  EXPECT_LE(bound.compute_ns(model.states().all(), 0, 2), 120 + 1e-9);
}

TEST(BalanceBound, IsInfiniteWhereNoDeviceCanRunALayer) {
  Profile profile = fixtures::plain_chain({10, 10}, 1);
  profile.kinds.push_back({"other", 1});
  profile.layers[1].forward_ns = {{"other", {1}}};
  profile.layers[1].backward_ns = {{"other", {1}}};
  const CostModel model(profile, {1, 1}, Objective::makespan);
  BalanceBound bound(std::pmr::get_default_resource());
  const LeastWork work = least_work(model, 4, 4, false);
  bound.choose_weights(model, work);
  bound.set_work(model, work);
  const int core = model.states().state_of(0, 1);
  EXPECT_EQ(bound.compute_ns(core, 0, 2), std::numeric_limits<double>::infinity());
  EXPECT_DOUBLE_EQ(bound.compute_ns(core, 0, 1), 4 * 30);
}

}  // namespace
}  // namespace millrace
