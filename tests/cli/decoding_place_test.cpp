#include "controller/cli/decoding_place.hpp"

#include <gtest/gtest.h>

namespace millrace::cli {
namespace {

/// Two big cores of two hardware threads each, two little ones.
Topology big_little() {
  Topology topology;
  topology.kinds = {{.name = "big", .cpus = {0, 1, 2, 3}}, {.name = "little", .cpus = {4, 5}}};
  topology.cores = {{0, 1}, {2, 3}, {4}, {5}};
  return topology;
}

Plan plan_on(const std::vector<std::vector<PlannedDevice>>& stages) {
  Plan plan;
  for (const auto& devices : stages) {
    plan.stages.emplace_back();
    plan.stages.back().devices = devices;
  }
  return plan;
}

const PlannedDevice kBig0{"big", 0}, kBig2{"big", 2}, kLittle4{"little", 4}, kLittle5{"little", 5};

TEST(DecodingPlace, IsOnTheCoresThatNoStageOwns) {
  EXPECT_EQ(decoding_place(plan_on({{kBig0, kBig2}}), big_little()), (DecodingPlace{{4, 5}, true}));
  EXPECT_EQ(decoding_place(plan_on({{kBig0}, {kBig2, kLittle4}}), big_little()),
            (DecodingPlace{{5}, true}));
}

TEST(DecodingPlace, IsBetweenTheStepsOfOneStageThatOwnsAllCores) {
  EXPECT_EQ(decoding_place(plan_on({{kBig0, kBig2, kLittle4, kLittle5}}), big_little()),
            (DecodingPlace{{0, 2, 4, 5}, false}));
}

TEST(DecodingPlace, IsInTheBubblesOfSeveralStages) {
  EXPECT_EQ(decoding_place(plan_on({{kBig0, kBig2}, {kLittle4, kLittle5}}), big_little()),
            (DecodingPlace{{0, 2, 4, 5}, true}));
}

}  // namespace
}  // namespace millrace::cli
