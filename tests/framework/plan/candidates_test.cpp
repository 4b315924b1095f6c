#include "framework/plan/candidates.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <variant>

#include "millrace/plan.hpp"
#include "millrace/schedule.hpp"
#include "tests/framework/plan/cost_fixtures.hpp"

namespace millrace {
namespace {

Candidate candidate(double score_ns, int state, const std::string& schedule = "1f1b",
                    std::int64_t micro_batch = 8) {
  Candidate made{{}, own_lanes(2), Batching(8, micro_batch), schedule, score_ns, score_ns};
  made.stages.resize(2);
  made.stages[0].shape.state = state;
  made.stages[1].shape.state = 1;
  return made;
}

std::vector<double> scores(const BestCandidates& best) {
  std::vector<double> result;
  for (const Candidate& one : best.all()) result.push_back(one.score_ns);
  return result;
}

TEST(BestCandidates, KeepTheBestOfEachForm) {
  BestCandidates best(2);
  EXPECT_TRUE(std::isinf(best.limit_ns()));
  best.offer(candidate(50, 1));
  best.offer(candidate(40, 1));  // the same form, better
  best.offer(candidate(45, 1));
  EXPECT_EQ(scores(best), (std::vector<double>{40}));
  best.offer(candidate(60, 2));
  best.offer(candidate(30, 3));
  EXPECT_EQ(scores(best), (std::vector<double>{30, 40}));
  EXPECT_NEAR(best.limit_ns(), 40, 1e-9);
  best.offer(candidate(40, 4));  // not better than the worst
  EXPECT_EQ(best.all()[1].stages[0].shape.state, 1);
}

TEST(BestCandidates, TheOrderIsAFormWhereThereIsAChoice) {
  BestCandidates best(4);
  best.offer(candidate(10, 1, "1f1b", 8));
  best.offer(candidate(9, 1, "fill-drain", 8));  // one micro-batch
  EXPECT_EQ(scores(best), (std::vector<double>{9}));
  best.offer(candidate(12, 1, "1f1b", 4));
  best.offer(candidate(13, 1, "fill-drain", 4));
  EXPECT_EQ(scores(best), (std::vector<double>{9, 12, 13}));
}

TEST(SearchPlans, AreTheBestOfDifferentForms) {
  const Profile profile = fixtures::alexnet({{"big", 2, 30}, {"little", 2, 7}});
  PlanRequest request;
  request.batch = 16;
  const Plan best = std::get<Plan>(search_plan(profile, request));
  const std::vector<Plan> plans = search_plans(profile, request, 5);
  ASSERT_EQ(plans.size(), 5u);
  EXPECT_EQ(plans.front().stages, best.stages);
  EXPECT_TRUE(plans.front().optimal);
  for (std::size_t i = 1; i < plans.size(); ++i) {
    EXPECT_LE(plans[i - 1].value_ns, plans[i].value_ns);
    EXPECT_FALSE(plans[i].optimal);
    EXPECT_NEAR(plans[i].bound_ns, best.value_ns, 1e-6 * best.value_ns);
    EXPECT_EQ(check_plan(plans[i], profile, request).value_ns, plans[i].value_ns);
  }
}

}  // namespace
}  // namespace millrace
