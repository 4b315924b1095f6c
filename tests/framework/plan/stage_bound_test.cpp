#include "framework/plan/stage_bound.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory_resource>
#include <random>
#include <utility>
#include <vector>

#include "framework/plan/stage_options.hpp"
#include "tests/framework/plan/cost_fixtures.hpp"
#include "tests/framework/plan/random_costs.hpp"

namespace millrace {
namespace {

constexpr double kRounding = 1 + 1e-9;

std::vector<int> counts_of(const Profile& profile) {
  std::vector<int> counts;
  for (const DeviceKind& kind : profile.kinds) counts.push_back(kind.count);
  return counts;
}

class StageBoundOfRandomGraphs : public ::testing::TestWithParam<BackwardForms> {
 protected:
  /// What a stage takes in the form of the backward part that is the best for it.
  void expect_below(const LeastStage& least, const LeastPassage& any, const StageCost& cost,
                    const Batching& batching) {
    const BackwardForms& forms = GetParam();
    LeastStage own{{cost.full.forward_ns, {1e40, 1e40}}, 1e40, 1e40, cost.update_ns};
    for (const bool apart : {false, true}) {
      if (!forms.has(apart)) continue;
      const Passes full = passes(cost.full, apart), rest = passes(cost.rest, apart);
      const auto others = double(batching.count - 1);
      const double early = forms.early_weights * double(batching.batch) / double(batching.full);
      own.passage.trip.full_ns = std::min(own.passage.trip.full_ns, full.trip_ns());
      own.passage.trip.last_ns =
          std::min(own.passage.trip.last_ns, full.forward_ns + rest.backward_ns);
      own.back_ns = std::min(
          own.back_ns, others * full.trip_ns() + rest.trip_ns() + early * full.weight_gradient_ns);
      own.total_ns = std::min(own.total_ns, others * full.all_ns() + rest.all_ns());
    }
    EXPECT_LE(least.passage.forward_ns, own.passage.forward_ns * kRounding);
    EXPECT_LE(least.passage.trip.full_ns, own.passage.trip.full_ns * kRounding);
    EXPECT_LE(least.passage.trip.last_ns, own.passage.trip.last_ns * kRounding);
    EXPECT_LE(least.back_ns, own.back_ns * kRounding);
    EXPECT_LE(least.total_ns, own.total_ns * kRounding);
    EXPECT_LE(least.update_ns, own.update_ns * kRounding);
    EXPECT_LE(any.forward_ns, own.passage.forward_ns * kRounding);
    EXPECT_LE(any.trip.full_ns, own.passage.trip.full_ns * kRounding);
    EXPECT_LE(any.trip.last_ns, own.passage.trip.last_ns * kRounding);
    ++looked_at_;
  }

  void look_at(const Profile& profile, const Batching& batching) {
    const CostModel model(profile, counts_of(profile), Objective::makespan);
    std::pmr::memory_resource* const memory = std::pmr::get_default_resource();
    StageOptions options(model, {.recomputed = true}, memory);
    options.reset(batching, false);
    BackwardForms forms = GetParam();
    if (batching.count == 1) forms.early_weights = 0;
    StageBound bound(model, memory);
    bound.set(batching, forms);
    const Cuts& cuts = model.cuts();
    for (int state = 1; state < model.states().size(); ++state)
      for (int last = 1; last < cuts.size(); ++last)
        for (int first = 0; first < last; ++first) {
          if (!cuts.within(first, last)) continue;
          for (const StageOption& option : options.get(first, last, state)) {
            expect_below(bound.own(state, first, last),
                         bound.any(model.states().all(), first, last), option.cost, batching);
          }
        }
  }

  int looked_at_ = 0;
};

TEST_P(StageBoundOfRandomGraphs, IsAtMostWhatAStageTakes) {
  std::mt19937 random(31);
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    const auto instance = fixtures::random_graph_instance(random, round % 2 == 0);
    for (const int full : {1, 2, 3}) look_at(instance.profile, Batching(3, full));
    if (HasFailure()) return;
  }
  EXPECT_GT(looked_at_, 4'000);
}

/// Whatever the other stages are, together they take what each takes.
TEST_P(StageBoundOfRandomGraphs, OfAnyStagesIsAtMostTheirSum) {
  std::mt19937 random(32);
  int looked_at = 0;
  for (int round = 0; round < 40; ++round) {
    const Profile profile = fixtures::random_graph_instance(random, true).profile;
    const CostModel model(profile, counts_of(profile), Objective::makespan);
    StageBound bound(model, std::pmr::get_default_resource());
    const Batching batching(3, round % 2 == 0 ? 3 : 2);
    const BackwardForms forms{GetParam().whole, GetParam().apart, 0};
    bound.set(batching, forms);
    const int all = model.states().all(), whole = model.cuts().all();
    const RoundTrip trip = bound.whole_trip(batching, forms);
    for (int cut = 1; cut < whole; ++cut)
      for (int state = 1; state < all; ++state) {
        LeastPassage sum = bound.own(state, 0, cut).passage;
        sum += bound.own(all - state, cut, whole).passage;
        EXPECT_LE(bound.any(all, 0, whole).trip.full_ns, sum.trip.full_ns * kRounding);
        EXPECT_LE(trip.full_ns, sum.trip.full_ns * kRounding);
        EXPECT_LE(trip.last_ns, sum.trip.last_ns * kRounding);
        looked_at += std::isfinite(sum.trip.full_ns) ? 1 : 0;
      }
  }
  EXPECT_GT(looked_at, 1000);
}

INSTANTIATE_TEST_SUITE_P(Forms, StageBoundOfRandomGraphs,
                         ::testing::Values(BackwardForms{true, false, 0},
                                           BackwardForms{false, true, 1.0 / 3},
                                           BackwardForms{true, true, 1.0 / 3}));

/// Forward costs of one layer on "fast" and "slow"; backward takes nothing.
Profile unlike_cores(std::vector<double> fast, std::vector<double> slow) {
  Profile profile = fixtures::plain_chain({1}, 1);
  profile.kinds = {{"fast", 1}, {"slow", 1}};
  profile.samples.clear();
  for (std::size_t i = 0; i < fast.size(); ++i) profile.samples.push_back(std::int64_t(i) + 1);
  LayerCosts& layer = profile.layers[0];
  layer.backward_ns = {{"fast", std::vector<double>(fast.size())},
                       {"slow", std::vector<double>(fast.size())}};
  layer.forward_ns = {{"fast", std::move(fast)}, {"slow", std::move(slow)}};
  layer.splits = {"samples"};
  return profile;
}

double forward_ns(const Profile& profile, int state, std::int64_t samples) {
  const CostModel model(profile, counts_of(profile), Objective::makespan);
  StageBound bound(model, std::pmr::get_default_resource());
  bound.set(Batching(samples, samples), {});
  return bound.own(state, 0, model.cuts().all()).passage.forward_ns;
}

TEST(StageBound, SharesWholeSamples) {
  const Profile profile = fixtures::plain_chain({10, 20, 30}, 2);
  EXPECT_DOUBLE_EQ(forward_ns(profile, 1, 3), 3 * 60);
  EXPECT_DOUBLE_EQ(forward_ns(profile, 2, 3), 2 * 60);
  EXPECT_EQ(forward_ns(profile, 2, 1), std::numeric_limits<double>::infinity());
}

/// Costs that rise and fall between counts that are far apart, and every way to share samples.
TEST(StageBound, OfUnlikeCoresIsAtMostWhatAnySharesTake) {
  std::mt19937 random(33);
  const auto any_ns = [&] { return double(random() % 100); };
  for (int round = 0; round < 100; ++round) {
    Profile profile = unlike_cores({any_ns(), any_ns(), any_ns()}, {any_ns(), any_ns(), any_ns()});
    profile.samples =
        round % 2 == 0 ? std::vector<std::int64_t>{1, 4, 16} : std::vector<std::int64_t>{2, 5, 9};
    const CostModel model(profile, {1, 1}, Objective::makespan);
    const StageShape shape = model.shape(0, 1, model.states().all(), Split::samples, 1, false);
    StageBound bound(model, std::pmr::get_default_resource());
    for (const std::int64_t full : {4, 7, 11}) {
      const Batching batching(11, full);
      bound.set(batching, {});
      const LeastStage least = bound.own(model.states().all(), 0, 1);
      for (std::int64_t share = 1; share < full; ++share) {
        ShareGroups shares;
        shares.add(0, 1, share);
        shares.add(1, 1, full - share);
        const StageCost cost = model.cost(shape, batching, shares);
        EXPECT_LE(least.passage.trip.full_ns, cost.full.forward_ns * kRounding) << round;
        EXPECT_LE(least.passage.trip.last_ns, cost.rest.forward_ns * kRounding) << round;
      }
    }
  }
}

/// Each core has one of as many samples: the slow ones' time is the stage's. One more makes it 50
/// or 60; the weights that are the same for both ways give 40.
TEST(StageBound, OfUnlikeCoresTakesTheirWholeShares) {
  Profile profile = unlike_cores({20, 50, 60}, {30, 60, 80});
  profile.kinds = {{"fast", 3}, {"slow", 2}};
  const int all = 3 * 4 - 1;
  EXPECT_NEAR(forward_ns(profile, all, 5), 30, 0.5);
  EXPECT_NEAR(forward_ns(profile, all, 6), 40, 0.5);
}

/// Of the last micro-batch's 2 samples a core may have none: 15 and 30 for each are the least.
TEST(StageBound, OfUnlikeCoresTakesThePriceOfTheirShares) {
  const Profile profile = unlike_cores({20, 30, 40}, {40, 60, 80});
  const CostModel model(profile, {1, 1}, Objective::makespan);
  StageBound bound(model, std::pmr::get_default_resource());
  bound.set(Batching(5, 3), {});
  EXPECT_DOUBLE_EQ(bound.own(3, 0, 1).passage.trip.last_ns, 2 / (1.0 / 15 + 1.0 / 30));
}

/// Convolutions and fully connected layers on unlike devices: no one set of weights suits both.
TEST(StageBound, OfUnlikeLayersIsTheBetterOfTwoBounds) {
  Profile profile = fixtures::plain_chain({10, 10}, 1);
  profile.kinds = {{"fast", 1}, {"slow", 1}};
  profile.samples = {1, 2};
  const std::vector<double> none{0, 0}, one{10, 20};
  for (LayerCosts& layer : profile.layers) {
    layer.forward_ns = {{"fast", one}, {"slow", {100, 200}}};
    layer.backward_ns = {{"fast", none}, {"slow", none}};
  }
  profile.layers[1].forward_ns = {{"fast", {100, 200}}, {"slow", one}};
  EXPECT_NEAR(forward_ns(profile, 3, 16), 2 * 16 / (1 / 10.0 + 1 / 100.0), 1e-6);
}

TEST(StageBound, IsTheSameWhenItIsAskedForAgain) {
  std::mt19937 random(34);
  const Profile profile = fixtures::random_graph_instance(random, true).profile;
  const CostModel model(profile, counts_of(profile), Objective::makespan);
  const int all = model.states().all(), whole = model.cuts().all();
  StageBound bound(model, std::pmr::get_default_resource());
  for (const int full : {3, 2, 3, 1, 2}) {
    StageBound other(model, std::pmr::get_default_resource());
    bound.set(Batching(3, full), {});
    other.set(Batching(3, full), {});
    EXPECT_EQ(bound.own(all, 0, whole).total_ns, other.own(all, 0, whole).total_ns) << full;
    EXPECT_EQ(bound.any(all, 0, whole).forward_ns, other.any(all, 0, whole).forward_ns) << full;
  }
}

TEST(StageBound, OfFewSamplesTakesNoMoreThanOfMore) {
  const Profile profile = unlike_cores({9, 5, 7}, {9, 9, 9});
  const CostModel model(profile, {1, 0}, Objective::makespan);
  StageBound bound(model, std::pmr::get_default_resource());
  bound.set(Batching(4, 3), {});  // the last has one
  EXPECT_DOUBLE_EQ(bound.own(1, 0, 1).passage.trip.full_ns, 7);
  EXPECT_DOUBLE_EQ(bound.own(1, 0, 1).passage.trip.last_ns, 5);
}

TEST(StageBound, OfAWholePipelineKnowsThatNoStageHasAllDevices) {
  const Profile profile = fixtures::plain_chain({10, 20, 30}, 2);
  const CostModel model(profile, {2}, Objective::makespan);
  StageBound bound(model, std::pmr::get_default_resource());
  const RoundTrip trip = bound.whole_trip(Batching(4, 2), {});
  EXPECT_DOUBLE_EQ(trip.full_ns, 2 * 3 * 60);
  EXPECT_DOUBLE_EQ(trip.last_ns, 2 * 3 * 60);
}

TEST(StageBound, IsInfiniteWhereADeviceCannotRunALayer) {
  Profile profile = fixtures::plain_chain({10, 10, 10}, 1);
  profile.kinds.push_back({"other", 1});
  for (const int l : {0, 2})
    for (auto* pass :
         {&profile.layers[std::size_t(l)].forward_ns, &profile.layers[std::size_t(l)].backward_ns})
      (*pass)["other"] = {1};
  const CostModel model(profile, {1, 1}, Objective::makespan);
  StageBound bound(model, std::pmr::get_default_resource());
  bound.set(Batching(2, 2), {});
  const int other = model.states().state_of(1, 1);
  EXPECT_EQ(bound.own(other, 0, 3).total_ns, std::numeric_limits<double>::infinity());
  EXPECT_DOUBLE_EQ(bound.own(other, 2, 3).total_ns, 2 * 2);
  const double alone_ns = 2 * 2;  // on the other alone: with a sample each the first would take 30
  EXPECT_DOUBLE_EQ(bound.any(model.states().all(), 0, 3).trip.full_ns, 2 * 30 + 2 * alone_ns);
}

}  // namespace
}  // namespace millrace
