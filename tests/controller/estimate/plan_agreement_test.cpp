// The estimate of a step and the value by which the planner chose it are the same, where nothing is
// loaded: two ways through the same costs.

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "millrace/estimate.hpp"
#include "millrace/plan.hpp"

namespace millrace {
namespace {

using Random = std::mt19937_64;

double uniform(Random& random, double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(random);
}

/// A chain of convolutions, then linear layers, on two kinds of cores; every third without links.
Profile random_profile(Random& random, bool overlapped) {
  Profile profile;
  profile.model = "random";
  profile.samples = {1, 4, 16};
  profile.overlapped_transfers = overlapped;
  const double link = random() % 3 == 0 ? 0 : uniform(random, 0, 0.5);
  profile.kinds = {{"big", 2, {}, link, 10 * link}, {"little", 2, {}, 2 * link, 5 * link}};
  const int layers = 3 + static_cast<int>(random() % 4);
  for (int l = 0; l < layers; ++l) {
    LayerCosts layer;
    layer.name = "layer" + std::to_string(l);
    layer.type = l < layers / 2 ? "conv2d" : "linear";
    layer.splits = {"samples", "threads"};
    double slowness = 1;
    PassWidths threads;
    for (const DeviceKind& kind : profile.kinds) {
      for (auto* pass : {&layer.forward_ns, &layer.backward_ns}) {
        const double each = slowness * uniform(random, 50, 500);
        (*pass)[kind.name] = {1.5 * each, 4.5 * each, 16.5 * each};
        auto& by_width = pass == &layer.forward_ns ? threads.forward : threads.backward;
        by_width[kind.name][2] = {each, 2.5 * each, 9 * each};
      }
      layer.update_ns[kind.name] = slowness * 100;
      slowness = uniform(random, 2, 4);
    }
    layer.threads_ns = threads;
    layer.weights_bytes = 1000;
    layer.saved_bytes = 100;
    if (l > 0)
      profile.tensors.push_back({"layer" + std::to_string(l - 1), {layer.name}, 64, false});
    profile.layers.push_back(layer);
  }
  return profile;
}

double estimated_step_ns(const Profile& profile, const Plan& plan) {
  RunShape shape;
  shape.steps = 1;
  return estimate_run(profile, plan, shape).step.expected_ns;
}

struct Agreement {
  int plans = 0, pipelines = 0, uneven = 0;
  double worst = 0;
};

Agreement agreement(bool overlapped) {
  Random random(11);
  Agreement result;
  for (int i = 0; i < 100; ++i) {
    const Profile profile = random_profile(random, overlapped);
    PlanRequest request;
    request.batch = 5 + static_cast<std::int64_t>(random() % 28);
    if (random() % 2 == 0) request.micro_batch = 1 + static_cast<std::int64_t>(random() % 5);
    const auto found = search_plan(profile, request);
    const auto* const plan = std::get_if<Plan>(&found);
    if (plan == nullptr) continue;
    ++result.plans;
    result.pipelines += plan->stages.size() > 1 ? 1 : 0;
    result.uneven += plan->batch % plan->micro_batch != 0 ? 1 : 0;
    result.worst =
        std::max(result.worst, std::abs(estimated_step_ns(profile, *plan) / plan->value_ns - 1));
  }
  return result;
}

class EstimateAgreesWithThePlan : public ::testing::TestWithParam<bool> {};

TEST_P(EstimateAgreesWithThePlan, OnRandomCosts) {
  const Agreement result = agreement(GetParam());
  EXPECT_GE(result.plans, 90);
  EXPECT_GE(result.pipelines, 10);
  EXPECT_GE(result.uneven, 10);
  EXPECT_LT(result.worst, 1e-9);
}

INSTANTIATE_TEST_SUITE_P(Transfers, EstimateAgreesWithThePlan, ::testing::Bool(),
                         [](const auto& overlapped) {
                           return overlapped.param ? "Overlapped" : "Serial";
                         });

}  // namespace
}  // namespace millrace
