#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <sstream>

#include "framework/plan/plan_text.hpp"
#include "millrace/plan.hpp"
#include "tests/framework/plan/cost_fixtures.hpp"
#include "tests/framework/plan/random_costs.hpp"

namespace millrace {
namespace {

using testing::HasSubstr;

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string explained(const Profile& profile, const PlanRequest& request) {
  return explain(std::get<Plan>(search_plan(profile, request)), profile);
}

TEST(Explain, SaysWhereTheLastMicroBatchIsSmaller) {
  const auto text = [](std::int64_t batch, std::int64_t micro_batch) {
    Plan plan;
    plan.batch = batch;
    plan.micro_batch = micro_batch;
    plan.micro_batches = (batch + micro_batch - 1) / micro_batch;
    return micro_batches_text(plan);
  };
  EXPECT_EQ(text(64, 64), "1 micro-batch of 64");
  EXPECT_EQ(text(64, 32), "2 micro-batches of 32");
  EXPECT_EQ(text(64, 28), "3 micro-batches of 28, the last of 8");
}

///   stage 0  F0 F1    B0 F2 B1    B2        F = 30, B = 60 ns; 4 rounds of 90 ns, of which a
///   stage 1     F0 B0 F1 B1 F2 B2           column shows 4.5
TEST(Explain, DrawsThePipeline) {
  PlanRequest request;
  request.batch = 3;
  request.micro_batch = 1;
  request.max_replicas = 1;
  const Profile profile = fixtures::plain_chain({30, 30}, 2);
  const auto lines = lines_of(explained(profile, request));
  EXPECT_EQ(lines[0], "Plan for plain: batch 3 = 3 micro-batches of 1, schedule 1f1b");
  EXPECT_THAT(lines[1], HasSubstr("predicted 360 ns per step, proved optimal"));
  EXPECT_EQ(lines[3], "  stage 0  l0");
  EXPECT_EQ(lines[4], "           on core 0");
  EXPECT_THAT(lines[5], HasSubstr("forward 30 ns, backward 60 ns"));
  EXPECT_EQ(lines[10],
            "  stage 0  "
            "|FFFFFFFffffff..............BBBBBBBBBBBBBFFFFFFFbbbbbbbbbbbbb.......BBBBBBBBBBBBB|");
  EXPECT_EQ(lines[11],
            "  stage 1  "
            "|.......FFFFFFBBBBBBBBBBBBBBffffffbbbbbbbbbbbbbbFFFFFFBBBBBBBBBBBBBB.............|");
}

///   stage 0  F0 F1    B0 W0 F2 B1 W1 B2 W2     10 of 30 ns, of which a column shows 3.75
///   stage 1     F0 B0 F1 B1 W0 F2 B2 W1 W2
TEST(Explain, DrawsWeightGradients) {
  PlanRequest request;
  request.batch = 3;
  request.micro_batch = 1;
  request.max_replicas = 1;
  const Profile profile = fixtures::in_two_parts(fixtures::plain_chain({30, 30}, 2));
  const auto lines = lines_of(explained(profile, request));
  EXPECT_THAT(lines[0], HasSubstr("schedule zero-bubble"));
  EXPECT_THAT(lines[1], HasSubstr("predicted 300 ns per step"));
  EXPECT_THAT(lines[5], HasSubstr("forward 30 ns, backward 30 ns + 30 ns, update"));
  EXPECT_THAT(lines[9], HasSubstr("B backward, W weights (small: odd), R reduce"));
  EXPECT_EQ(lines[10],
            "  stage 0  "
            "|FFFFFFFFffffffff........BBBBBBBBWWWWWWWWFFFFFFFFbbbbbbbbwwwwwwwwBBBBBBBBWWWWWWWW|");
  EXPECT_EQ(lines[11],
            "  stage 1  "
            "|........FFFFFFFFBBBBBBBBffffffffbbbbbbbbWWWWWWWWFFFFFFFFBBBBBBBBwwwwwwwwWWWWWWWW|");
}

TEST(Explain, NamesCoresSharesAndSplits) {
  PlanRequest request;
  request.memory_bytes = 1'000'000'000;  // too little for replicas of the whole network
  const std::string text = explained(
      fixtures::alexnet({{"big", 4, 30}, {"little", 4, 7, 4}, {"gpu", 1, 120, 8, 1}}), request);
  EXPECT_THAT(text, HasSubstr("features.0 .. features.8 (9 layers)"));
  EXPECT_THAT(text, HasSubstr("on big 0-1 + gpu 8, samples 2 + 2 + 9\n"));
  EXPECT_THAT(text, HasSubstr("samples 5 + 5 + 3 x 1\n           features 35 + 35 + 3 x 10 % of "
                              "classifier.1 .. classifier.6 (6 layers)\n"));
  EXPECT_THAT(text, HasSubstr("R reduce, U update"));
  EXPECT_THAT(text, HasSubstr("even data parallel"));
  EXPECT_THAT(text, HasSubstr("not possible  there is only one device of \"gpu\""));
}

TEST(Explain, NamesLayersWhoseFeaturesAreDividedEvenly) {
  EXPECT_THAT(
      explained(fixtures::alexnet({{"core", 2, 30}}), {}),
      HasSubstr("on core 0-1, features of classifier.1 .. classifier.6 (6 layers) divided"));
}

TEST(Explain, NamesThreadsRecomputationAndThePeriod) {
  Profile profile = fixtures::plain_chain({10, 10}, 4);
  for (auto& layer : profile.layers) {
    layer.splits = {"threads"};
    layer.threads_ns = PassWidths{{{"core", {{4, {1}}}}}, {{"core", {{4, {2}}}}}};
    layer.saved_bytes = 100;
  }
  PlanRequest request;
  request.objective = Objective::period;
  request.recompute = RecomputePolicy::all;
  const std::string text = explained(profile, request);
  EXPECT_THAT(text, HasSubstr("on core 0-3, 1 x 4 threads"));
  EXPECT_THAT(text, HasSubstr("per micro-batch"));
  EXPECT_THAT(text, HasSubstr(", recomputed"));
}

TEST(Explain, SaysHowManyLayersAreRecomputed) {
  Profile profile = fixtures::plain_chain({10, 10, 10}, 1);
  for (auto& layer : profile.layers) layer.saved_bytes = 100;
  PlanRequest request;
  request.batch = request.micro_batch.emplace(4);
  request.memory_bytes = 800;  // of 1200
  EXPECT_THAT(explained(profile, request), HasSubstr(" of 3 layers recomputed"));
}

TEST(Explain, SaysTheBoundOfAPlanThatMayNotBeTheBest) {
  const Profile profile = fixtures::plain_chain({10, 30}, 2);
  PlanRequest request;
  Plan plan = std::get<Plan>(search_plan(profile, request));
  plan.optimal = false;
  plan.bound_ns = 1500;
  EXPECT_THAT(explain(plan, profile), HasSubstr("lower bound 1.5 us"));
}

TEST(Explain, OfFreeWorkHasNoTimeLine) {
  const Profile profile = fixtures::plain_chain({0, 0}, 1);
  PlanRequest request;
  EXPECT_THAT(explained(profile, request), testing::Not(HasSubstr("One step")));
}

TEST(Explain, KeepsTo100Columns) {
  std::mt19937 random(31);
  for (int round = 0; round < 200; ++round) {
    auto [profile, request] = fixtures::random_instance(random, round % 2 == 1);
    profile.model = std::string(120, 'm');
    const auto result = search_plan(profile, request);
    if (!std::holds_alternative<Plan>(result)) continue;
    for (const auto& line : lines_of(explain(std::get<Plan>(result), profile))) {
      EXPECT_LE(line.size(), 100u) << line;
    }
  }
  Profile wide = fixtures::plain_chain({10}, 64);
  wide.layers[0].name = std::string(150, 'x');
  wide.tensors.clear();
  PlanRequest request;
  request.batch = 6400;
  request.micro_batch = 6400;
  for (const auto& line : lines_of(explained(wide, request))) EXPECT_LE(line.size(), 100u) << line;
}

}  // namespace
}  // namespace millrace
