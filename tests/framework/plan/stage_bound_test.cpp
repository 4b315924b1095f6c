#include "framework/plan/stage_bound.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory_resource>
#include <random>

#include "framework/plan/stage_options.hpp"
#include "tests/framework/plan/cost_fixtures.hpp"
#include "tests/framework/plan/random_costs.hpp"

namespace millrace {
namespace {

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
    constexpr double kRounding = 1 + 1e-9;
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
  for (int round = 0; round < 60; ++round) {
    SCOPED_TRACE(round);
    const auto instance = fixtures::random_graph_instance(random, round % 2 == 0);
    for (const int full : {1, 2, 3}) look_at(instance.profile, Batching(3, full));
    if (HasFailure()) return;
  }
  EXPECT_GT(looked_at_, 10'000);
}

INSTANTIATE_TEST_SUITE_P(Forms, StageBoundOfRandomGraphs,
                         ::testing::Values(BackwardForms{true, false, 0},
                                           BackwardForms{false, true, 1.0 / 3},
                                           BackwardForms{true, true, 1.0 / 3}));

}  // namespace
}  // namespace millrace
