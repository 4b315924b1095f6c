// The search against the ways to cut a model that others use, with the same costs.

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "millrace/plan.hpp"
#include "tests/framework/plan/cost_fixtures.hpp"

namespace millrace {
namespace {

double forward_backward_ns(const LayerCosts& layer) {
  return layer.forward_ns.at("core").front() + layer.backward_ns.at("core").front();
}

/// Sizes of P blocks with as many layers each as can be.
std::vector<int> equal_split(int layers, int P) {
  std::vector<int> sizes(std::size_t(P), layers / P);
  for (int s = 0; s < layers % P; ++s) ++sizes[std::size_t(s)];
  return sizes;
}

/// torchgpipe's blockpartition.solve: from an even split, the border that makes the most expensive
/// block cheaper is moved until none does.
std::vector<int> block_partition(const std::vector<double>& costs, int P) {
  std::vector<int> sizes = equal_split(int(costs.size()), P);
  const auto block_costs = [&] {
    std::vector<double> sums;
    auto at = costs.begin();
    for (const int size : sizes) {
      sums.push_back(std::accumulate(at, at + size, 0.0));
      at += size;
    }
    return sums;
  };
  for (bool moved = true; moved;) {
    moved = false;
    const auto sums = block_costs();
    const double worst = *std::max_element(sums.begin(), sums.end());
    const auto s = std::size_t(std::max_element(sums.begin(), sums.end()) - sums.begin());
    for (const int step : {-1, 1}) {
      const auto other = s + std::size_t(step);
      if (other >= sizes.size() || sizes[s] == 1) continue;
      --sizes[s];
      ++sizes[other];
      const auto after = block_costs();
      if (*std::max_element(after.begin(), after.end()) < worst) {
        moved = true;
        break;
      }
      ++sizes[s];
      --sizes[other];
    }
  }
  return sizes;
}

Plan pipeline_of(const Profile& profile, const std::vector<int>& sizes, std::int64_t batch,
                 std::int64_t micro_batch, const std::string& schedule) {
  Plan plan;
  plan.model = profile.model;
  plan.batch = batch;
  plan.micro_batch = micro_batch;
  plan.micro_batches = (batch + micro_batch - 1) / micro_batch;
  plan.schedule = schedule;
  auto layer = profile.layers.begin();
  for (std::size_t s = 0; s < sizes.size(); ++s) {
    PlanStage& stage = plan.stages.emplace_back();
    for (int i = 0; i < sizes[s]; ++i) stage.layers.push_back((layer++)->name);
    stage.devices = {{"core", int(s)}};
    stage.shares = {micro_batch};
  }
  return plan;
}

void expect_never_worse(const Profile& profile, std::int64_t batch, int P,
                        const PlanRequest& request) {
  std::vector<double> costs;
  for (const auto& layer : profile.layers) costs.push_back(forward_backward_ns(layer));
  const auto found = std::get<Plan>(search_plan(profile, request));
  for (const auto& sizes : {equal_split(int(costs.size()), P), block_partition(costs, P)}) {
    for (const std::int64_t micro_batch : {std::int64_t{1}, batch / 4 + 1, batch}) {
      for (const char* schedule : {"fill-drain", "1f1b"}) {
        const Plan other =
            check_plan(pipeline_of(profile, sizes, batch, micro_batch, schedule), profile, request);
        EXPECT_LE(found.value_ns, other.value_ns * (1 + 1e-9));
        EXPECT_LE(other.bound_ns, other.value_ns);
      }
    }
  }
}

TEST(Baselines, BlockPartitionImprovesOnTheEqualSplit) {
  EXPECT_EQ(block_partition({1, 1, 1, 1, 4, 4}, 3), (std::vector<int>{4, 1, 1}));
  EXPECT_EQ(equal_split(7, 3), (std::vector<int>{3, 2, 2}));
}

TEST(Baselines, NeverWorseOnRandomChains) {
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

TEST(Baselines, NeverWorseOnAlexNet) {
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
