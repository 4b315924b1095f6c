#include "framework/plan/cuts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "framework/plan/device_states.hpp"
#include "millrace/errors.hpp"
#include "tests/framework/plan/cost_fixtures.hpp"

namespace millrace {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string error_of(const Profile& profile) {
  try {
    plan_graph(profile);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

/// Of the cuts of the order, the empty one and the whole network included.
std::vector<Border> order_borders(const Profile& profile) {
  const PlanGraph graph = plan_graph(profile);
  const Cuts cuts(graph);
  std::vector<Border> result;
  for (std::size_t p = 0; p <= graph.order.size(); ++p)
    result.push_back(cuts.border(cuts.prefix(static_cast<int>(p))));
  return result;
}

TEST(PlanGraph, FollowsTheTensorsNotTheFile) {
  Profile profile = fixtures::plain_chain({1, 2, 3, 4}, 1);
  std::swap(profile.layers[0], profile.layers[3]);
  std::swap(profile.tensors[0], profile.tensors[2]);
  const PlanGraph graph = plan_graph(profile);
  EXPECT_THAT(graph.order, ElementsAre(3, 1, 2, 0));
  EXPECT_THAT(graph.inputs,
              ElementsAre(ElementsAre(), ElementsAre(0), ElementsAre(1), ElementsAre(2)));
  EXPECT_THAT(graph.readers,
              ElementsAre(ElementsAre(1), ElementsAre(2), ElementsAre(3), ElementsAre()));
}

TEST(PlanGraph, KeepsTheOrderOfTheFileWhereTheTensorsAllowIt) {
  Profile profile = fixtures::plain_chain({1, 1, 1, 1, 1}, 1);  // two branches that meet in l4
  profile.tensors = {
      {"l0", {"l1", "l3"}, 1}, {"l1", {"l2"}, 1}, {"l2", {"l4"}, 1}, {"l3", {"l4"}, 1}};
  EXPECT_THAT(plan_graph(profile).order, ElementsAre(0, 1, 2, 3, 4));
  std::swap(profile.layers[1], profile.layers[4]);
  EXPECT_THAT(plan_graph(profile).order, ElementsAre(0, 3, 4, 2, 1));
}

TEST(PlanGraph, RefusesWhatNoStepCanRun) {
  Profile profile = fixtures::plain_chain({1, 1, 1}, 1);
  profile.tensors = {{"l0", {"l1"}, 1}, {"l1", {"l2"}, 1}, {"l2", {"l0"}, 1, true}};
  EXPECT_THAT(error_of(profile), HasSubstr("gradient from \"l2\" to \"l0\" follows no forward"));
  profile.tensors = {{"l0", {"l1"}, 1}, {"l1", {"l0"}, 1}};
  EXPECT_THAT(error_of(profile), HasSubstr("cycle"));
}

TEST(Cuts, OneLayerNeedsNoTensor) {
  EXPECT_EQ(order_borders(fixtures::plain_chain({5}, 1)), (std::vector<Border>(2)));
}

TEST(Cuts, AddUpTheTensorsOfABorder) {
  Profile profile = fixtures::plain_chain({1, 1, 1}, 1);
  profile.tensors = {{"l0", {"l1"}, 10}, {"l0", {"l1"}, 5}, {"l1", {"l2"}, 7}};
  // gradients as large as the tensors
  EXPECT_THAT(order_borders(profile),
              ElementsAre(Border{}, Border{15, 2, 15, 2}, Border{7, 1, 7, 1}, Border{}));
}

TEST(Cuts, AnExplicitGradientReplacesTheDefault) {
  Profile profile = fixtures::plain_chain({1, 1, 1}, 1);
  profile.tensors = {{"l0", {"l1"}, 10},
                     {"l1", {"l2"}, 7},
                     {"l1", {"l0"}, 0, true},
                     {"l2", {"l1"}, 3, true},
                     {"l2", {"l1"}, 4, true}};
  EXPECT_THAT(order_borders(profile),
              ElementsAre(Border{}, Border{10, 1, 0, 1}, Border{7, 1, 7, 2}, Border{}));
}

TEST(Cuts, ATensorNamedTwiceByItsReaderIsSentOnce) {
  Profile profile = fixtures::plain_chain({1, 1}, 1);
  profile.tensors = {{"l0", {"l1", "l1"}, 10}};
  EXPECT_EQ(order_borders(profile)[1], (Border{10, 1, 10, 1}));
}

TEST(Cuts, InferenceHasNoGradients) {
  Profile profile = fixtures::plain_chain({1, 1}, 1);
  profile.training = false;
  for (auto& layer : profile.layers) layer.backward_ns.clear();
  profile.tensors = {{"l0", {"l1"}, 10}, {"l1", {"l0"}, 4, true}};
  EXPECT_EQ(order_borders(profile)[1], (Border{10, 1, 0, 0}));
}

/// l0 -> l1 -> l2 -> l3, with l0 read by l2, too, and l1 by l3.
Profile two_skips() {
  Profile profile = fixtures::plain_chain({1, 1, 1, 1}, 1);
  profile.tensors = {{"l0", {"l1", "l2"}, 10}, {"l1", {"l2", "l3"}, 5}, {"l2", {"l3"}, 1}};
  return profile;
}

TEST(Cuts, ATensorWithSeveralReadersCrossesABorderOnce) {
  EXPECT_THAT(order_borders(two_skips()),
              ElementsAre(Border{}, Border{10, 1, 10, 1}, Border{15, 2, 15, 2}, Border{6, 2, 6, 2},
                          Border{}));
}

TEST(Cuts, AGradientGivenForOneReaderLeavesTheOthers) {
  Profile profile = two_skips();
  profile.tensors.push_back({"l2", {"l0"}, 3, true});
  const auto borders = order_borders(profile);
  EXPECT_EQ(borders[1], (Border{10, 1, 13, 2}));  // of l1 as large as the tensor, of l2 given
  EXPECT_EQ(borders[2], (Border{15, 2, 8, 2}));
}

TEST(Cuts, SeveralLayersMayReadTheSample) {
  Profile profile = fixtures::plain_chain({1, 1, 1}, 1);
  profile.tensors = {{"l0", {"l2"}, 4}, {"l1", {"l2"}, 4}};
  const auto borders = order_borders(profile);
  EXPECT_EQ(borders[1], (Border{4, 1, 4, 1}));
  EXPECT_EQ(borders[2], (Border{8, 2, 8, 2}));
}

/// l0 -> l1 -> l2, and l3 that reads l0 and is read by nobody.
TEST(Cuts, ALayerThatNobodyReadsMayRunAnywhereBehindWhatItReads) {
  Profile profile = fixtures::plain_chain({1, 1, 1, 1}, 1);
  profile.tensors = {{"l0", {"l1", "l3"}, 10}, {"l1", {"l2"}, 5}};
  const PlanGraph graph = plan_graph(profile);
  EXPECT_THAT(graph.readers,
              ElementsAre(ElementsAre(1, 3), ElementsAre(2), ElementsAre(), ElementsAre()));
  const Cuts cuts(graph);
  EXPECT_EQ(cuts.size(), 1 + 3 * 2);  // none; l0 with 0 to 2 of the others and with or without l3
  EXPECT_EQ(cuts.border(cuts.with(0, std::vector<int>{0, 1, 2})), (Border{10, 1, 10, 1}));
  EXPECT_EQ(cuts.border(cuts.with(0, std::vector<int>{0, 3})), (Border{10, 1, 10, 1}));
  EXPECT_EQ(cuts.border(cuts.with(0, std::vector<int>{0, 1, 3})), (Border{5, 1, 5, 1}));
}

std::vector<int> members(const Cuts& cuts, int first, int last) {
  std::vector<int> result;
  cuts.visit_members(first, last, [&](int position) { result.push_back(position); });
  return result;
}

TEST(Cuts, AreAllIdealsOfAGraph) {
  const Cuts cuts(plan_graph(fixtures::branches(3, 4)));
  EXPECT_TRUE(cuts.complete());
  EXPECT_EQ(cuts.size(), 5 * 5 * 5 + 2);
  EXPECT_EQ(cuts.count(cuts.all()), 14);
  for (int cut = 0; cut < cuts.size(); ++cut) {
    if (cut == 0) continue;
    const int parent = cuts.parent(cut);
    EXPECT_LT(parent, cut);
    EXPECT_THAT(members(cuts, parent, cut), ElementsAre(cuts.added(cut)));
    EXPECT_EQ(cuts.with(parent, std::vector<int>{cuts.added(cut)}), cut);
    EXPECT_EQ(cuts.count(cut), cuts.count(parent) + 1);
    EXPECT_TRUE(cuts.within(parent, cut));
    EXPECT_FALSE(cuts.within(cut, parent));
  }
}

TEST(Cuts, OfSetsThatAreNoIdealsThereAreNone) {
  const Cuts cuts(plan_graph(fixtures::branches(2, 2)));
  EXPECT_EQ(cuts.with(0, std::vector<int>{1}), -1);
  EXPECT_EQ(cuts.with(cuts.prefix(1), std::vector<int>{4}), -1);
  const int both = cuts.with(cuts.prefix(1), std::vector<int>{3, 1});
  ASSERT_GE(both, 0);
  EXPECT_THAT(members(cuts, 0, both), ElementsAre(0, 1, 3));
}

TEST(Cuts, TooManyKeepTheOrderAndWhatLeastCrosses) {
  const PlanGraph graph = plan_graph(fixtures::branches(5, 3));
  ASSERT_EQ(Cuts(graph).size(), 1024 + 2);
  const Cuts few(graph, 100);
  EXPECT_FALSE(few.complete());
  EXPECT_LE(few.size(), 100);
  for (int p = 0; p <= 17; ++p) EXPECT_EQ(few.count(few.prefix(p)), p);
  EXPECT_EQ(few.all(), few.prefix(17));
}

/// Branches of 5 layers, and beside them a tail of 30 that reads l0.
TEST(Cuts, TooManyKeepAllThatCutNoTail) {
  Profile profile = fixtures::branches(3, 5);
  const auto branched = static_cast<int>(profile.layers.size());
  const LayerCosts some = profile.layers[1];
  std::string before = "l0";
  for (int n = 0; n < 30; ++n) {
    profile.layers.push_back(some);
    const std::string name = profile.layers.back().name = "tail" + std::to_string(n);
    profile.tensors.push_back({before, {name}, 1});
    before = name;
  }
  const PlanGraph graph = plan_graph(profile);
  const int ideals = 6 * 6 * 6 + 2;  // without the tail
  EXPECT_EQ(Cuts(graph).size(), 1 + (ideals - 1) * 31);
  const Cuts whole(graph, 1000);
  EXPECT_FALSE(whole.complete());
  // the order has the tail last: cut there alone, where all branches are done
  EXPECT_EQ(whole.size(), ideals + 30);
  for (int p = 0; p <= branched + 30; ++p) EXPECT_EQ(whole.count(whole.prefix(p)), p);
  EXPECT_EQ(whole.all(), whole.prefix(branched + 30));
}

/// The same with the tail right behind l0 in the file.
TEST(Cuts, TailsAreWholeInAllCutsBehindThem) {
  Profile profile = fixtures::branches(3, 5);
  LayerCosts some = profile.layers[1];
  for (int n = 0; n < 30; ++n) {
    some.name = "tail" + std::to_string(n);
    profile.layers.insert(profile.layers.begin() + 1 + n, some);
    profile.tensors.push_back({n == 0 ? "l0" : "tail" + std::to_string(n - 1), {some.name}, 1});
  }
  const PlanGraph graph = plan_graph(profile);
  const Cuts whole(graph, 1000);
  const int behind = 6 * 6 * 6;  // cuts with l0 and any of the branches
  EXPECT_EQ(whole.size(), 1 + (behind + 1) + 29 + (behind + 1));
  for (int cut = 1; cut < whole.size(); ++cut) EXPECT_TRUE(whole.within(whole.parent(cut), cut));
}

TEST(Cuts, OfVeryManyLayersThatWaitForNobodyAreTheOrdersOwn) {
  const Cuts cuts(plan_graph(fixtures::branches(2000, 1)));
  EXPECT_FALSE(cuts.complete());
  EXPECT_EQ(cuts.size(), 2003);
  for (int p = 0; p <= 2002; p += 77) {
    EXPECT_EQ(cuts.count(cuts.prefix(p)), p);
    EXPECT_TRUE(cuts.within(cuts.prefix(p), cuts.all()));
  }
  EXPECT_EQ(cuts.border(cuts.prefix(1)).forward_tensors, 2000);
}

TEST(DeviceStates, CountEverySet) {
  const DeviceStates states({4, 4, 1});
  EXPECT_EQ(states.size(), 50);
  EXPECT_EQ(states.devices(states.all()), 9);
  EXPECT_EQ(states.single_kind(states.all()), -1);
  const int pair = states.state_of(1, 2);
  EXPECT_EQ(states.count(pair, 1), 2);
  EXPECT_EQ(states.devices(pair), 2);
  EXPECT_EQ(states.single_kind(pair), 1);
}

TEST(DeviceStates, TakingAPartAwayIsSubtraction) {
  const DeviceStates states({3, 2});
  for (int whole = 0; whole < states.size(); ++whole) {
    for (int part = 0; part < states.size(); ++part) {
      const bool inside = states.count(part, 0) <= states.count(whole, 0) &&
                          states.count(part, 1) <= states.count(whole, 1);
      ASSERT_EQ(states.contains(whole, part), inside);
      if (!inside) continue;
      for (int kind = 0; kind < 2; ++kind) {
        EXPECT_EQ(states.count(whole - part, kind),
                  states.count(whole, kind) - states.count(part, kind));
      }
    }
  }
}

TEST(DeviceStates, RefuseTooMany) {
  EXPECT_THROW(DeviceStates({1000, 1000}), ConfigError);
  EXPECT_EQ(DeviceStates({300, 300}).size(), 301 * 301);
}

}  // namespace
}  // namespace millrace
