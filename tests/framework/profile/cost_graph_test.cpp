// The cost graph of what was measured, and what it is kept under.

#include "framework/profile/cost_graph.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>

#include "framework/profile/footprint.hpp"
#include "framework/profile/identity.hpp"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct CostGraphTest : ::testing::Test {
  CostGraphTest() {
    model.name = "two";
    model.sample_shape = {6};
    model.add("a", torch::nn::Linear(6, 4)).add("b", torch::nn::Linear(4, 2));
    facts = check_model(model);
    topology.kinds = {{"big", {0, 1}}, {"little", {2}}};
    topology.cores = {{0}, {1}, {2}};
    topology.memory_available_bytes = 1000;
    const MeasuredCounts alone = {{1, {{{1, 2}, {3, 4}, {5, 6}}}}, {2, {{{2, 4}, {6, 8}, {5, 6}}}}};
    const MeasuredCounts team = {{1, {{{1, 1}, {2, 2}, {}}}}, {2, {{{1, 1}, {2, 2}, {}}}}};
    times["big"] = {{"x", "y"}, {{1, {7, 5}}, {2, {7, 8}}}, alone, {{2, team}}, {{2, team}},
                    {1.5, 1.25}};
    times["little"] = {{"y", "y"}, {{1, {9, 1}}, {2, {9, 1}}}, alone, {}, {}, {1.1, 1.2}};
  }

  Model model;
  std::vector<LayerFacts> facts;
  Topology topology;
  std::map<std::string, KindTimes> times;
};

TEST_F(CostGraphTest, HoldsWhatWasMeasured) {
  const Profile profile = make_cost_graph(model, facts, topology, 2, times);
  EXPECT_NO_THROW(check_profile(profile, "made"));
  EXPECT_THAT(profile.samples, ElementsAre(1, 2));
  EXPECT_EQ(profile.kinds, (std::vector<DeviceKind>{{"big", 2}, {"little", 1}}));
  const LayerCosts& b = profile.layers.at(1);
  EXPECT_THAT(b.forward_ns.at("big"), ElementsAre(2, 4));
  EXPECT_THAT(b.backward_ns.at("little"), ElementsAre(4, 8));
  EXPECT_DOUBLE_EQ(b.update_ns.at("big"), 6);
  EXPECT_DOUBLE_EQ(b.loaded.at("big"), 1.25);
  EXPECT_DOUBLE_EQ(b.workspace_bytes, 2);
  EXPECT_DOUBLE_EQ(b.workspace_bytes_per_sample, 3);
  EXPECT_EQ(profile.layers[0].implementation.at("little"), "y");
  EXPECT_THAT(b.threads_ns->backward.at("big").at(2), ElementsAre(2, 2));
  EXPECT_FALSE(b.threads_ns->forward.contains("little"));
  EXPECT_THAT(b.splits, ElementsAre("samples", "threads", "features"));
}

/// One core of each kind: no slices are measured, and the two may divide features all the same.
TEST_F(CostGraphTest, UnlikeCoresDivideFeaturesWithoutATeam) {
  topology.kinds[0].cpus = {0};
  times["big"].threads.clear();
  times["big"].features.clear();
  const Profile profile = make_cost_graph(model, facts, topology, 2, times);
  EXPECT_NO_THROW(check_profile(profile, "made"));
  EXPECT_THAT(profile.layers[1].splits, ElementsAre("samples", "features"));
  EXPECT_FALSE(profile.layers[1].features_ns.has_value());
}

/// An auxiliary head is a sink: a layer from which no tensor goes.
TEST_F(CostGraphTest, HasATensorForEveryOutputThatLayersRead) {
  model.layers[1].inputs = {"a"};
  model.add("last", torch::nn::Linear(4, 2), {"a"});
  model.auxiliary = {{"b", 0.3}};
  facts = check_model(model);
  const auto add_third = [](MeasuredCounts& measured) {
    for (auto& [samples, passes] : measured)
      for (PassTimes& pass : passes)
        for (auto* ns : {&pass.forward_ns, &pass.backward_ns, &pass.update_ns}) ns->push_back(1);
  };
  for (auto& [kind, own] : times) {
    own.choice.push_back("y");
    for (auto& [samples, bytes] : own.workspace_bytes) bytes.push_back(1);
    own.loaded.push_back(1);
    add_third(own.alone);
    for (auto* widths : {&own.threads, &own.features})
      for (auto& [width, measured] : *widths) add_third(measured);
  }
  const Profile profile = make_cost_graph(model, facts, topology, 2, times);
  EXPECT_NO_THROW(check_profile(profile, "made"));
  ASSERT_EQ(profile.layers.size(), 3u);
  EXPECT_EQ(profile.tensors, (std::vector<TensorCosts>{{"a", {"b", "last"}, 4 * 4, false}}));
  EXPECT_DOUBLE_EQ(profile.layers[1].saved_bytes, 4 * 4);
}

TEST_F(CostGraphTest, OfADeferredGradientHoldsTheMemoryAndTheUpdateOfABatch) {
  for (auto& [kind, own] : times) {
    own.choice = {"libtorch", "millrace"};
    own.alone[2][0].update_ns = {5, 9};
  }
  const Profile profile = make_cost_graph(model, facts, topology, 2, times);
  EXPECT_DOUBLE_EQ(profile.layers[0].deferred_bytes, 0);
  EXPECT_DOUBLE_EQ(profile.layers[0].saved_bytes, 4 * 6);
  EXPECT_DOUBLE_EQ(profile.layers[1].deferred_bytes, 4 * (4 + 2));
  EXPECT_DOUBLE_EQ(profile.layers[1].saved_bytes, 0);
  EXPECT_DOUBLE_EQ(profile.layers[1].update_ns.at("big"), 9);
}

TEST_F(CostGraphTest, HoldsTheTwoPartsOfBackwardThatWereMeasured) {
  const auto pass = [](std::vector<double> input, std::vector<double> weight) {
    PassTimes result;
    result.input_gradient_ns = std::move(input);
    result.weight_gradient_ns = std::move(weight);
    return std::vector<PassTimes>{result};
  };
  // Layer a comes apart; with one sample its parts take 2 of the 3 that the whole was seen to take.
  for (auto& [kind, own] : times)
    own.apart = {{1, pass({1, 9}, {1, 0})}, {2, pass({4, 9}, {3, 0})}};
  times["big"].threads_apart[2] = {{1, pass({1, 9}, {1.5, 0})}, {2, pass({1, 9}, {1.5, 0})}};
  const Profile profile = make_cost_graph(model, facts, topology, 2, times);
  EXPECT_NO_THROW(check_profile(profile, "made"));
  const LayerCosts& a = profile.layers[0];
  EXPECT_THAT(a.input_gradient_ns.at("little"), ElementsAre(1, 4));
  EXPECT_THAT(a.weight_gradient_ns.at("little"), ElementsAre(2, 3));
  EXPECT_THAT(a.threads_ns->weight_gradient.at("big").at(2), ElementsAre(1.5, 1.5));
  EXPECT_DOUBLE_EQ(a.weight_gradient_bytes, 4 * (6 + 4));
  EXPECT_FALSE(profile.layers[1].splits_backward());
  EXPECT_DOUBLE_EQ(profile.layers[1].weight_gradient_bytes, 0);
  const Profile faster = at_speed(profile, 2);
  EXPECT_THAT(faster.layers[0].weight_gradient_ns.at("big"), ElementsAre(1, 1.5));
  EXPECT_EQ(at_speed(faster, 0.5), profile);
}

TEST_F(CostGraphTest, AtAnotherSpeedTimesChangeAndNothingElse) {
  const Profile profile = make_cost_graph(model, facts, topology, 2, times);
  Profile faster = at_speed(profile, 2);
  EXPECT_THAT(faster.layers[1].forward_ns.at("big"), ElementsAre(1, 2));
  EXPECT_THAT(faster.layers[1].threads_ns->backward.at("big").at(2), ElementsAre(1, 1));
  EXPECT_DOUBLE_EQ(faster.layers[1].update_ns.at("big"), 3);
  EXPECT_EQ(at_speed(faster, 0.5), profile);
}

TEST_F(CostGraphTest, MemoryBudgetStaysWithinTheLimit) {
  EXPECT_DOUBLE_EQ(memory_budget_bytes(topology), 900);
  topology.limits.memory_limit_bytes = 500;
  EXPECT_DOUBLE_EQ(memory_budget_bytes(topology), 450);
  topology.memory_available_bytes = 0;
  EXPECT_DOUBLE_EQ(memory_budget_bytes(topology), 0) << "unknown";
}

TEST_F(CostGraphTest, IdentityTellsWhatCostsDependOn) {
  topology.machine = "Board X";
  const std::string identity = profile_identity(model, facts, topology, {.batch = 8});
  EXPECT_THAT(identity, HasSubstr("Board X"));
  EXPECT_THAT(identity, HasSubstr(build_identity()));
  EXPECT_NE(profile_identity(model, facts, topology, {.batch = 9}), identity);
  EXPECT_NE(
      profile_identity(model, facts, topology, {.batch = 8, .algorithms = Algorithms::direct}),
      identity);
  Topology other = topology;
  other.kinds[0].cpus = {0};
  EXPECT_NE(profile_identity(model, facts, other, {.batch = 8}), identity);
  std::vector<LayerFacts> wider = facts;
  wider[0].output_shape = {5};
  EXPECT_NE(profile_identity(model, wider, topology, {.batch = 8}), identity);
}

}  // namespace
}  // namespace millrace
