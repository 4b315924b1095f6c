#include "framework/profile/board_costs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;

/// Two cores; the layer takes 100 n forward and twice that backward, on a team of two 60 %.
Profile measured() {
  Profile profile;
  profile.model = "net";
  profile.samples = {1, 2};
  profile.kinds = {{"core", 2}};
  LayerCosts layer;
  layer.name = "fc";
  layer.type = "linear";
  layer.forward_ns["core"] = {100, 200};
  layer.backward_ns["core"] = {200, 400};
  layer.update_ns["core"] = 30;
  layer.loaded["core"] = 1.2;
  layer.implementation["core"] = "millrace";
  layer.weights_bytes = 16;
  layer.splits = {"samples", "threads", "features"};
  layer.threads_ns = PassWidths{{{"core", {{2, {60, 120}}}}}, {{"core", {{2, {120, 240}}}}}};
  profile.layers = {layer};
  return profile;
}

Topology board() {
  Topology board;
  board.memory_bytes = 1000;
  board.kinds = {{"big", {4, 5, 6, 7}, 1.0, "A"}, {"little", {0, 1, 2}, 0.4, "B"}};
  for (int cpu = 0; cpu < 8; ++cpu) board.cores.push_back({cpu});
  return board;
}

TEST(BoardCosts, AreThoseOfTheMachineOverTheSpeedOfEachKind) {
  const Profile costs = board_costs(measured(), board());
  check_profile(costs, "board");
  EXPECT_EQ(costs.kinds, (std::vector<DeviceKind>{{"big", 4}, {"little", 3}}));
  EXPECT_DOUBLE_EQ(*costs.shared_memory_bytes, 900);
  const LayerCosts& layer = costs.layers.front();
  EXPECT_THAT(layer.forward_ns.at("big"), ElementsAre(100, 200));
  EXPECT_THAT(layer.forward_ns.at("little"), ElementsAre(DoubleEq(250), DoubleEq(500)));
  EXPECT_THAT(layer.backward_ns.at("little"), ElementsAre(DoubleEq(500), DoubleEq(1000)));
  EXPECT_DOUBLE_EQ(layer.update_ns.at("little"), 75);
  EXPECT_DOUBLE_EQ(layer.loaded.at("little"), 1.2);
  EXPECT_EQ(layer.implementation.at("big"), "millrace");
  EXPECT_FALSE(layer.forward_ns.contains("core"));
}

TEST(BoardCosts, WiderTeamsKeepTheEfficiency) {
  const LayerCosts layer = board_costs(measured(), board()).layers.front();
  const PerWidth& big = layer.threads_ns->forward.at("big");
  EXPECT_THAT(big.at(2), ElementsAre(60, 120));
  EXPECT_THAT(big.at(4), ElementsAre(30, 60));
  EXPECT_THAT(layer.threads_ns->backward.at("little").at(3),
              ElementsAre(DoubleEq(200), DoubleEq(400)));
  EXPECT_FALSE(layer.features_ns);
}

TEST(BoardCosts, KeepTheTwoPartsOfBackward) {
  Profile profile = measured();
  LayerCosts& fc = profile.layers.front();
  fc.input_gradient_ns["core"] = {90, 180};
  fc.weight_gradient_ns["core"] = {120, 240};
  fc.threads_ns->input_gradient["core"][2] = {60, 110};
  fc.threads_ns->weight_gradient["core"][2] = {70, 140};
  const Profile costs = board_costs(profile, board());
  check_profile(costs, "board");
  const LayerCosts& layer = costs.layers.front();
  EXPECT_THAT(layer.input_gradient_ns.at("little"), ElementsAre(DoubleEq(225), DoubleEq(450)));
  EXPECT_THAT(layer.weight_gradient_ns.at("big"), ElementsAre(120, 240));
  EXPECT_THAT(layer.threads_ns->weight_gradient.at("big").at(4), ElementsAre(35, 70));
}

TEST(BoardCosts, OfOneCoreHaveNoTeams) {
  Profile one = measured();
  one.layers[0].threads_ns.reset();
  EXPECT_FALSE(board_costs(one, board()).layers.front().threads_ns);
}

}  // namespace
}  // namespace millrace
