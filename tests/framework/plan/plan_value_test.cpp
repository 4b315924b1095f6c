#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "millrace/errors.hpp"
#include "millrace/plan.hpp"

namespace millrace {
namespace {

using Shares = std::vector<std::int64_t>;

TEST(Shares, AFullMicroBatchKeepsThem) { EXPECT_EQ(shares_of({5, 3}, 8), (Shares{5, 3})); }

TEST(Shares, AreScaledByLargestRemainderTiesToTheLowerIndex) {
  EXPECT_EQ(shares_of({5, 3}, 4), (Shares{3, 1}));  // 2.5 and 1.5: one left, the first takes it
  EXPECT_EQ(shares_of({5, 3}, 3), (Shares{2, 1}));  // 1.875 and 1.125
  EXPECT_EQ(shares_of({1, 1, 1}, 2), (Shares{1, 1, 0}));
  EXPECT_EQ(shares_of({1, 6}, 1), (Shares{0, 1}));
  EXPECT_EQ(shares_of({4}, 0), (Shares{0}));
}

TEST(Shares, SumToTheSamplesAndStayWithinOneOfProportion) {
  std::mt19937 random(7);
  for (int round = 0; round < 1000; ++round) {
    Shares shares(1 + random() % 6);
    for (auto& share : shares) share = 1 + random() % 20;
    const auto all = std::accumulate(shares.begin(), shares.end(), std::int64_t{0});
    const std::int64_t samples = random() % 200;
    const Shares parts = shares_of(shares, samples);
    EXPECT_EQ(std::accumulate(parts.begin(), parts.end(), std::int64_t{0}), samples);
    for (std::size_t r = 0; r < shares.size(); ++r) {
      EXPECT_LT(std::abs(double(parts[r]) - double(shares[r] * samples) / double(all)), 1.0);
    }
  }
}

TEST(Shares, OfNothingAreABug) {
  EXPECT_THROW(shares_of({}, 3), InternalError);
  EXPECT_THROW(shares_of({0, 0}, 3), InternalError);
}

TEST(Plan, TheLastMicroBatchHoldsTheRest) {
  Plan plan;
  plan.batch = 10;
  plan.micro_batch = 4;
  plan.micro_batches = 3;
  EXPECT_EQ(samples_in(plan, 0), 4);
  EXPECT_EQ(samples_in(plan, 1), 4);
  EXPECT_EQ(samples_in(plan, 2), 2);
}

TEST(PlanStage, WorkersAndTheirThreads) {
  PlanStage stage;
  stage.devices = {{"big", 0}, {"big", 1}, {"big", 2}, {"big", 3}};
  stage.shares = {2, 2, 2, 2};
  EXPECT_EQ(stage.workers(), 4);
  EXPECT_EQ(stage.threads_each(), 1);
  stage.split = Split::threads;
  stage.shares = {8};
  EXPECT_EQ(stage.workers(), 1);
  EXPECT_EQ(stage.threads_each(), 4);
  stage.shares = {4, 4};
  EXPECT_EQ(stage.workers(), 2);
  EXPECT_EQ(stage.threads_each(), 2);
  stage.split = Split::features;
  stage.shares = {2, 2, 2, 2};
  EXPECT_EQ(stage.workers(), 4);
  EXPECT_EQ(stage.threads_each(), 1);
}

TEST(Plan, WordsOfTheJsonForm) {
  EXPECT_EQ(to_string(Split::samples), "samples");
  EXPECT_EQ(to_string(Split::threads), "threads");
  EXPECT_EQ(to_string(Split::features), "features");
  EXPECT_EQ(to_string(Objective::makespan), "makespan");
  EXPECT_EQ(to_string(Objective::period), "period");
}

}  // namespace
}  // namespace millrace
