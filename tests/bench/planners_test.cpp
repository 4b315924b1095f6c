// The search against the ways to cut a model that others use, with the same costs.

#include "bench/planners.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/framework/plan/cost_fixtures.hpp"

namespace millrace {
namespace {

double forward_backward_ns(const LayerCosts& layer) {
  return layer.forward_ns.at("core").front() + layer.backward_ns.at("core").front();
}

std::vector<int> sizes_of(const std::vector<Block>& blocks) {
  std::vector<int> sizes;
  for (const Block& block : blocks) sizes.push_back(block.layers);
  return sizes;
}

void expect_never_worse(const Profile& profile, std::int64_t batch, int P,
                        const PlanRequest& request) {
  std::vector<double> costs;
  for (const auto& layer : profile.layers) costs.push_back(forward_backward_ns(layer));
  const auto found = std::get<Plan>(search_plan(profile, request));
  for (const Planner& planner : planners()) {
    const auto blocks = planner.cut(costs, P);
    for (const std::int64_t micro_batch : {std::int64_t{1}, batch / 4 + 1, batch}) {
      for (const char* schedule : {"fill-drain", "1f1b"}) {
        const bool even = std::all_of(blocks.begin(), blocks.end(), [&](const Block& block) {
          return block.devices <=
                 std::min<std::int64_t>(micro_batch, request.max_replicas.value_or(P));
        });
        if (!even) continue;
        const Plan other =
            check_plan(plan_of(profile, blocks, batch, micro_batch, schedule), profile, request);
        EXPECT_LE(found.value_ns, other.value_ns * (1 + 1e-9));
        EXPECT_LE(other.bound_ns, other.value_ns);
      }
    }
  }
}

TEST(Planners, CutAsTheirSourcesDo) {
  EXPECT_EQ(sizes_of(equal_split(7, 3)), (std::vector<int>{3, 2, 2}));
  EXPECT_EQ(sizes_of(block_partition({1, 1, 1, 1, 4, 4}, 3)), (std::vector<int>{4, 1, 1}));
  EXPECT_EQ(sizes_of(least_largest({5, 1, 1, 1, 1, 5}, 3)), (std::vector<int>{1, 4, 1}));
  EXPECT_EQ(least_bottleneck({9, 1, 2}, 4), (std::vector<Block>{{1, 3}, {2, 1}}));
}

TEST(Planners, NeverWorseOnRandomChains) {
  std::mt19937 random(41);
  std::exponential_distribution<double> cost(0.01);
  for (int round = 0; round < 60; ++round) {
    std::vector<double> ns(std::size_t(4 + random() % 9));
    for (double& value : ns) value = cost(random);
    const int cores = int(2 + random() % 3);
    const Profile profile = fixtures::plain_chain(ns, cores);
    PlanRequest request;
    request.batch = std::int64_t(4 + random() % 20);
    if (round % 2 == 0) request.max_replicas = 1;  // pipelines alone
    expect_never_worse(profile, request.batch, cores, request);
  }
}

TEST(Planners, NeverWorseOnAlexNet) {
  for (const int cores : {2, 4}) {
    for (const bool pipelines_alone : {true, false}) {
      PlanRequest request;
      request.batch = 32;
      if (pipelines_alone) request.max_replicas = 1;
      expect_never_worse(fixtures::alexnet({{"core", cores}}), 32, cores, request);
    }
  }
}

}  // namespace
}  // namespace millrace
