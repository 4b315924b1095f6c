#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <set>

#include "millrace/schedule.hpp"
#include "tests/framework/plan/cost_fixtures.hpp"
#include "tests/framework/plan/exhaustive.hpp"
#include "tests/framework/plan/random_costs.hpp"

namespace millrace {
namespace {

using fixtures::Instance;
using fixtures::random_instance;

double score_of(const Plan& plan) {
  if (plan.objective == Objective::makespan) return plan.value_ns;
  return plan.value_ns * double(plan.batch) / double(plan.micro_batch);
}

void expect_consistent(const Plan& plan, const Instance& instance) {
  EXPECT_TRUE(plan.optimal);
  EXPECT_EQ(plan.bound_ns, plan.value_ns);
  const Plan checked = check_plan(plan, instance.profile, instance.request);
  EXPECT_EQ(checked.value_ns, plan.value_ns);
  EXPECT_EQ(checked.memory_bytes, plan.memory_bytes);
  EXPECT_EQ(checked.stages, plan.stages);
  EXPECT_EQ(plan_from_json(to_json(plan), "p.json"), plan);
  if (plan.objective == Objective::period) return;
  const Schedule schedule =
      make_schedule(plan.schedule, int(plan.stages.size()), int(plan.micro_batches));
  const auto times = predicted_times(plan, instance.profile, plan.batch);
  EXPECT_EQ(simulate(schedule, times).makespan_ns, plan.value_ns);
}

/// Sanitizers make it 30 times as slow, and look for something else than a missed plan.
int rounds(int all) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return all / 20;
#else
  return all;
#endif
}

struct Tally {
  int rounds = 0, feasible = 0, zero_bubble = 0, several_sinks = 0, partly_recomputed = 0;
  int unlike_slices = 0;
  std::int64_t plans = 0;

  double share(int count) const { return double(count) / rounds; }
};

/// Layers that no layer reads: the last one, and auxiliary outputs.
int sinks(const Profile& profile) {
  std::set<std::string> read;
  for (const TensorCosts& tensor : profile.tensors)
    if (!tensor.backward && !tensor.to.empty()) read.insert(tensor.from);
  return int(profile.layers.size() - read.size());
}

void compare(Instance instance, Tally& tally) {
  RecomputePolicy& recompute = instance.request.recompute;
  if (recompute == RecomputePolicy::automatic &&
      instance.profile.layers.size() > oracle::kMostRecomputed)
    recompute = tally.rounds % 2 == 0 ? RecomputePolicy::none : RecomputePolicy::all;
  const oracle::Best best = oracle::exhaust(instance.profile, instance.request);
  ++tally.rounds;
  tally.plans += best.plans;
  const auto found = search_plan(instance.profile, instance.request);
  ASSERT_EQ(std::holds_alternative<Plan>(found), best.score_ns.has_value());
  if (!best.score_ns) return;
  ++tally.feasible;
  if (sinks(instance.profile) > 1) ++tally.several_sinks;
  const Plan& plan = std::get<Plan>(found);
  ASSERT_NEAR(score_of(plan), *best.score_ns, 1e-9 * *best.score_ns);
  expect_consistent(plan, instance);
  const PlanStage& stage = plan.stages.front();
  if (!stage.recompute.empty() && stage.recompute.size() < stage.layers.size())
    ++tally.partly_recomputed;
  for (const PlanStage& each : plan.stages)
    if (!each.feature_shares.empty()) {
      ++tally.unlike_slices;
      break;
    }
  if (plan.schedule == "zero-bubble" && instance.request.schedule == "auto") ++tally.zero_bubble;
}

TEST(SearchOracle, FindsTheBestOfAllPlansOn500Chains) {
  std::mt19937 random(20240607);
  Tally tally;
  for (int round = 0; round < rounds(500); ++round) {
    SCOPED_TRACE(round);
    ASSERT_NO_FATAL_FAILURE(compare(random_instance(random), tally));
  }
  RecordProperty("plans", std::to_string(tally.plans));
  EXPECT_GT(tally.share(tally.feasible), 0.5);
  EXPECT_LT(tally.feasible, tally.rounds);
}

TEST(SearchOracle, FindsTheBestOfAllPlansOn2000Graphs) {
  std::mt19937 random(20261129);
  Tally tally;
  for (int round = 0; round < rounds(2000); ++round) {
    SCOPED_TRACE(round);
    ASSERT_NO_FATAL_FAILURE(compare(fixtures::random_graph_instance(random), tally));
  }
  RecordProperty("plans", std::to_string(tally.plans));
  EXPECT_GT(tally.share(tally.feasible), 0.4);
  EXPECT_LT(tally.feasible, tally.rounds);
  EXPECT_GT(tally.share(tally.several_sinks), 0.2);
  RecordProperty("unlike_slices", tally.unlike_slices);
  EXPECT_GT(tally.share(tally.unlike_slices), 0.01);
}

/// A schedule that wins where bubbles cost more than the two parts apart.
TEST(SearchOracle, FindsTheBestOfAllPlansOn3000ChainsWithTheBackwardPartInTwo) {
  std::mt19937 random(20261130);
  Tally tally;
  for (int round = 0; round < rounds(3000); ++round) {
    SCOPED_TRACE(round);
    ASSERT_NO_FATAL_FAILURE(compare(random_instance(random, true), tally));
  }
  RecordProperty("plans", std::to_string(tally.plans));
  RecordProperty("zero_bubble", tally.zero_bubble);
  EXPECT_GT(tally.share(tally.feasible), 0.6);
  EXPECT_GT(tally.share(tally.zero_bubble), 0.03);
}

TEST(SearchOracle, FindsTheBestOfAllPlansOn700GraphsWithTheBackwardPartInTwo) {
  std::mt19937 random(20261201);
  Tally tally;
  for (int round = 0; round < rounds(700); ++round) {
    SCOPED_TRACE(round);
    ASSERT_NO_FATAL_FAILURE(compare(fixtures::random_graph_instance(random, true), tally));
  }
  RecordProperty("plans", std::to_string(tally.plans));
  RecordProperty("zero_bubble", tally.zero_bubble);
  EXPECT_GT(tally.share(tally.feasible), 0.5);
  EXPECT_GT(tally.share(tally.zero_bubble), 0.03);
}

/// Of one stage, in less memory than the best plan takes.
TEST(SearchOracle, FindsTheLayersToRecompute) {
  std::mt19937 random(20261202);
  Tally tally;
  for (int round = 0; round < 500; ++round) {
    SCOPED_TRACE(round);
    Instance instance = fixtures::random_graph_instance(random);
    if (!instance.profile.training || instance.profile.layers.size() > oracle::kMostRecomputed)
      continue;
    instance.request.max_stages = 1;
    instance.request.recompute = RecomputePolicy::automatic;
    instance.request.schedule = "auto";
    instance.request.memory_bytes.reset();
    for (DeviceKind& kind : instance.profile.kinds) kind.memory_bytes.reset();
    const auto roomy = search_plan(instance.profile, instance.request);
    if (!std::holds_alternative<Plan>(roomy)) continue;
    const double share = 0.6 + 0.07 * double(random() % 6);
    instance.request.memory_bytes =
        static_cast<std::int64_t>(share * double(std::get<Plan>(roomy).memory_bytes)) + 1;
    ASSERT_NO_FATAL_FAILURE(compare(instance, tally));
  }
  RecordProperty("plans", std::to_string(tally.plans));
  RecordProperty("partly_recomputed", tally.partly_recomputed);
  EXPECT_GT(tally.share(tally.feasible), 0.3);
  EXPECT_GT(tally.share(tally.partly_recomputed), 0.05);
}

/// Forward falls with more samples: the step's first forward and last backward are of micro-batches
/// of different sizes.
TEST(SearchOracle, FindsTheBestWhereCostsFallWithMoreSamples) {
  std::mt19937 random(77);
  for (int round = 0; round < rounds(600); ++round) {
    Profile profile = fixtures::plain_chain({1, 1, 1}, 3);
    profile.samples = {1, 2, 3};
    for (LayerCosts& layer : profile.layers) {
      for (auto* pass : {&layer.forward_ns, &layer.backward_ns})
        (*pass)["core"] = {double(random() % 20), double(random() % 20), double(random() % 20)};
      if (round % 2 == 0) continue;
      for (const double whole : layer.backward_ns["core"]) {
        layer.input_gradient_ns["core"].push_back(double(random() % 20));
        const double rest = whole - layer.input_gradient_ns["core"].back();
        layer.weight_gradient_ns["core"].push_back(std::max(rest, double(random() % 10)));
      }
    }
    PlanRequest request;
    request.batch = 3;
    request.max_replicas = 1;  // shares are for costs that rise
    const Plan best = std::get<Plan>(search_plan(profile, request));
    const oracle::Best all = oracle::exhaust(profile, request);
    EXPECT_NEAR(best.value_ns, *all.score_ns, 1e-9) << round;
  }
}

}  // namespace
}  // namespace millrace
