#include "framework/profile/present_costs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace {
namespace {

using ::testing::DoubleEq;
using ::testing::ElementsAre;

/// Four cores of one kind; one layer of 100 ns a sample, on a team of two 60 %.
MeasuredProfile four_cores() {
  MeasuredProfile measured;
  measured.topology.kinds = {{"core", {0, 1, 2, 3}, 1.0, "A"}};
  for (int cpu = 0; cpu < 4; ++cpu) measured.topology.cores.push_back({cpu});
  measured.rates = {{0, 50}, {1, 50}, {2, 50}, {3, 50}};
  Profile& profile = measured.profile;
  profile.model = "net";
  profile.samples = {1, 2};
  profile.kinds = {{"core", 4, {}, 0.5, 7}};
  LayerCosts layer;
  layer.name = "fc";
  layer.type = "linear";
  layer.forward_ns["core"] = layer.backward_ns["core"] = {100, 200};
  layer.update_ns["core"] = 30;
  layer.implementation["core"] = "millrace";
  layer.splits = {"samples", "threads"};
  layer.threads_ns = PassWidths{{{"core", {{2, {60, 120}}, {4, {40, 80}}}}},
                                {{"core", {{2, {60, 120}}, {4, {40, 80}}}}}};
  profile.layers = {layer};
  return measured;
}

TEST(PresentCosts, StayWhereTheMachineIsAsItWas) {
  const MeasuredProfile measured = four_cores();
  const MeasuredProfile present = present_costs(measured, {{0, 51}, {1, 49}, {2, 50}, {3, 50}});
  EXPECT_EQ(present.profile, measured.profile);
  EXPECT_EQ(present.topology, measured.topology);
}

TEST(PresentCosts, ASlowCoreBecomesAKindOfItsOwn) {
  const MeasuredProfile present = present_costs(four_cores(), {{0, 50}, {1, 50}, {2, 20}, {3, 50}});
  check_profile(present.profile, "present");
  ASSERT_EQ(present.topology.kinds.size(), 2u);
  EXPECT_THAT(present.topology.kinds[1].cpus, ElementsAre(2));
  EXPECT_EQ(present.profile.kinds,
            (std::vector<DeviceKind>{{"big", 3, {}, 0.5, 7}, {"little", 1, {}, 0.5, 7}}));
  const LayerCosts& layer = present.profile.layers.front();
  EXPECT_THAT(layer.forward_ns.at("big"), ElementsAre(100, 200));
  EXPECT_THAT(layer.backward_ns.at("little"), ElementsAre(DoubleEq(250), DoubleEq(500)));
  EXPECT_DOUBLE_EQ(layer.update_ns.at("little"), 75);
  EXPECT_EQ(layer.implementation.at("little"), "millrace");
  const auto& teams = layer.threads_ns->forward;
  EXPECT_THAT(teams.at("big").at(2), ElementsAre(60, 120));
  EXPECT_THAT(teams.at("big").at(3), ElementsAre(DoubleEq(160. / 3), DoubleEq(320. / 3)));
  EXPECT_FALSE(teams.contains("little"));
}

TEST(PresentCosts, AMachineThatIsSlowerAsAWholeKeepsItsKinds) {
  const MeasuredProfile present = present_costs(four_cores(), {{0, 25}, {1, 25}, {2, 25}, {3, 25}});
  EXPECT_EQ(present.profile.kinds, four_cores().profile.kinds);
  EXPECT_THAT(present.profile.layers.front().forward_ns.at("core"), ElementsAre(200, 400));
  EXPECT_THAT(present.profile.layers.front().threads_ns->forward.at("core").at(4),
              ElementsAre(80, 160));
}

TEST(PresentCosts, LeaveOutACoreThatIsGone) {
  const MeasuredProfile present = present_costs(four_cores(), {{0, 50}, {1, 50}, {3, 50}});
  EXPECT_THAT(present.topology.kinds.front().cpus, ElementsAre(0, 1, 3));
  EXPECT_EQ(present.profile.kinds.front().count, 3);
  EXPECT_THAT(present.profile.layers.front().forward_ns.at("core"), ElementsAre(100, 200));
}

TEST(PresentCosts, KeepSiblingsTogether) {
  MeasuredProfile measured = four_cores();
  measured.topology.kinds = {{"core", {0, 1, 2, 3}, 1.0, "A"}};
  measured.topology.cores = {{0, 2}, {1, 3}};
  measured.profile.kinds.front().count = 2;
  measured.rates = {{0, 50}, {1, 50}};
  const MeasuredProfile present = present_costs(measured, {{0, 50}, {1, 20}});
  ASSERT_EQ(present.topology.kinds.size(), 2u);
  EXPECT_THAT(present.topology.kinds[0].cpus, ElementsAre(0, 2));
  EXPECT_THAT(present.topology.kinds[1].cpus, ElementsAre(1, 3));
  EXPECT_EQ(present.profile.kinds[0].count, 1);
}

TEST(PresentCosts, KeepKindsThatAreNoCores) {
  MeasuredProfile measured = four_cores();
  measured.profile.kinds.push_back({"gpu", 1, 1e9, 0.1, 100});
  measured.profile.layers.front().forward_ns["gpu"] = {10, 20};
  measured.profile.layers.front().backward_ns["gpu"] = {10, 20};
  const MeasuredProfile present = present_costs(measured, {{0, 50}, {1, 50}, {2, 20}, {3, 50}});
  EXPECT_EQ(present.profile.kinds.back(), measured.profile.kinds.back());
  EXPECT_THAT(present.profile.layers.front().forward_ns.at("gpu"), ElementsAre(10, 20));
}

}  // namespace
}  // namespace millrace
