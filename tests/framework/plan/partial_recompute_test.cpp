#include "framework/plan/partial_recompute.hpp"

#include <gtest/gtest.h>

#include <random>

#include "tests/framework/plan/cost_fixtures.hpp"

namespace millrace {
namespace {

constexpr InFlight kOne{1, 0};
const Batching batching(4, 4);

double step_ns(const StageOption& option) {
  return option.cost.full.forward_ns + option.cost.full.backward_ns;
}

/// A chain of 14 layers of random times and bytes.
Profile random_chain(std::mt19937& random) {
  const auto real = [&](double most) { return std::uniform_real_distribution<>(0, most)(random); };
  std::vector<double> ns(14);
  for (double& value : ns) value = 1 + real(20);
  Profile profile = fixtures::plain_chain(ns, 1);
  for (LayerCosts& layer : profile.layers) layer.saved_bytes = real(100);
  for (TensorCosts& tensor : profile.tensors) tensor.bytes = real(20);
  return profile;
}

StageOption whole_on_one_core(const CostModel& model) {
  const StageShape shape = model.shape(0, model.cuts().all(), 1, Split::samples, 1, true);
  const ShareGroups shares = model.even_shares(shape, batching.full);
  return {shape, shares, model.cost(shape, batching, shares)};
}

TEST(RecomputedWithin, SaysHowFarFewPairsMayBeFromTheBest) {
  std::mt19937 random(7);
  int found = 0, inexact = 0;
  for (int round = 0; round < 200; ++round) {
    const Profile profile = random_chain(random);
    const CostModel model(profile, {1}, Objective::makespan);
    const StageOption plain = whole_on_one_core(model);
    const double budget = 0.6 * CostModel::memory_bytes(plain.cost, batching, kOne);
    const auto best = recomputed_within(model, plain, batching, kOne, budget);
    const auto quick = recomputed_within(model, plain, batching, kOne, budget, 3 * 14 * 14);
    ASSERT_EQ(best.has_value(), quick.has_value());
    if (!best) continue;
    ++found;
    EXPECT_EQ(best->slack_ns, 0);
    EXPECT_LE(CostModel::memory_bytes(quick->option.cost, batching, kOne), budget);
    EXPECT_GE(step_ns(quick->option), step_ns(best->option) - 1e-9);
    EXPECT_LE(step_ns(quick->option) - quick->slack_ns, step_ns(best->option) + 1e-9);
    inexact += quick->slack_ns > 0 ? 1 : 0;
  }
  EXPECT_GT(found, 100);
  EXPECT_GT(inexact, 50);
}

TEST(RecomputedWithin, GivesNothingBelowWhatIsNeeded) {
  std::mt19937 random(8);
  const Profile profile = random_chain(random);
  const CostModel model(profile, {1}, Objective::makespan);
  const StageOption plain = whole_on_one_core(model);
  const double least = least_recomputed_bytes(model, plain, batching, kOne);
  EXPECT_LT(least, CostModel::memory_bytes(plain.cost, batching, kOne));
  EXPECT_TRUE(recomputed_within(model, plain, batching, kOne, least * 1.001).has_value());
  EXPECT_FALSE(recomputed_within(model, plain, batching, kOne, least * 0.99).has_value());
  EXPECT_FALSE(recomputed_within(model, plain, batching, {2, 0}, least * 1.001).has_value());
}

}  // namespace
}  // namespace millrace
