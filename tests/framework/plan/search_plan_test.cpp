#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "framework/plan/search.hpp"
#include "millrace/errors.hpp"
#include "millrace/plan.hpp"
#include "millrace/schedule.hpp"
#include "tests/framework/plan/cost_fixtures.hpp"

namespace millrace {
namespace {

using fixtures::alexnet;
using fixtures::plain_chain;
using testing::HasSubstr;

PlanRequest request_of(std::int64_t batch) {
  PlanRequest request;
  request.batch = batch;
  return request;
}

Plan plan_of(const Profile& profile, const PlanRequest& request) {
  return std::get<Plan>(search_plan(profile, request));
}

const PlanAlternative& alternative(const Plan& plan, const std::string& name) {
  for (const auto& each : plan.alternatives) {
    if (each.name == name) return each;
  }
  throw std::out_of_range(name);
}

std::string error_of(const Profile& profile, const PlanRequest& request) {
  try {
    search_plan(profile, request);
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.tag(), "plan");
    return error.what();
  }
  return "";
}

/// Two cores; replicas are ruled out, so only a pipeline can use both.
TEST(SearchPlan, CutsAPipelineWhereReplicasAreNotAllowed) {
  PlanRequest request = request_of(8);
  request.max_replicas = 1;
  const Plan plan = plan_of(plain_chain({10, 20, 10, 20}, 2), request);
  ASSERT_EQ(plan.stages.size(), 2u);
  EXPECT_EQ(plan.stages[0].layers, (std::vector<std::string>{"l0", "l1"}));
  EXPECT_EQ(plan.micro_batch, 1);
  EXPECT_EQ(plan.schedule, "1f1b");
  EXPECT_DOUBLE_EQ(plan.value_ns, (8 + 1) * 90);
  EXPECT_TRUE(plan.optimal);
  EXPECT_EQ(plan.stages[0].devices, (std::vector<PlannedDevice>{{"core", 0}}));
  EXPECT_EQ(plan.stages[1].devices, (std::vector<PlannedDevice>{{"core", 1}}));
}

TEST(SearchPlan, PrefersTheSimplerOfEqualPlans) {
  const Plan plan = plan_of(plain_chain({10, 10}, 2), request_of(8));
  ASSERT_EQ(plan.stages.size(), 1u);  // data parallel and a filled pipeline: no fill is better
  EXPECT_EQ(plan.micro_batch, 8);
  EXPECT_EQ(plan.stages[0].shares, (std::vector<std::int64_t>{4, 4}));
}

TEST(SearchPlan, LeavesOutASlowCore) {
  Profile profile = plain_chain({10, 10}, 1);
  profile.kinds.push_back({"slow", 1});
  for (auto& layer : profile.layers) {
    layer.forward_ns["slow"] = {1000};
    layer.backward_ns["slow"] = {2000};
  }
  const Plan plan = plan_of(profile, request_of(4));
  ASSERT_EQ(plan.stages.size(), 1u);
  EXPECT_EQ(plan.stages[0].devices, (std::vector<PlannedDevice>{{"core", 0}}));
  EXPECT_EQ(alternative(plan, "one core").why_not, "is the plan");
  EXPECT_GT(*alternative(plan, "even data parallel").value_ns, plan.value_ns);
}

/// The request's example in docs/costs.md: the smaller micro-batch of two is not the better one.
TEST(SearchPlan, TriesEveryMicroBatchSize) {
  Profile profile = plain_chain({10}, 3);
  profile.layers[0].saved_bytes = 1;
  profile.shared_memory_bytes = 9;  // two micro-batches at least
  PlanRequest request = request_of(15);
  request.schedule = "1f1b";
  request.recompute = RecomputePolicy::none;
  const Plan plan = plan_of(profile, request);
  EXPECT_EQ(plan.micro_batch, 9);
  EXPECT_DOUBLE_EQ(plan.value_ns, 5 * 30);
}

TEST(SearchPlan, IsDeterministicAndToldTheTimeFromOutside) {
  const Profile profile = alexnet({{"big", 4, 30}, {"little", 4, 7, 4}});
  double now = 5;
  const auto first = std::get<Plan>(search_plan(profile, request_of(64), [&] { return now++; }));
  EXPECT_EQ(first.search.seconds, 1);
  Plan second = plan_of(profile, request_of(64));
  EXPECT_EQ(second.search.seconds, 0);
  second.search.seconds = 1;
  EXPECT_EQ(to_json(first), to_json(second));
}

TEST(SearchPlan, ReportsWhatItDid) {
  const Plan plan =
      plan_of(alexnet({{"big", 4, 30}, {"little", 4, 7, 4}, {"gpu", 1, 120}}), request_of(64));
  EXPECT_GT(plan.search.candidates, 100);
  EXPECT_GT(plan.search.peak_bytes, 10'000);
  EXPECT_LT(plan.search.peak_bytes, 50'000'000);
  EXPECT_TRUE(plan.optimal);
  EXPECT_EQ(plan.bound_ns, plan.value_ns);
}

TEST(SearchPlan, UsesTheCpusOfTheRequest) {
  PlanRequest request = request_of(12);
  request.cpus = {{"big", {6, 7}}, {"little", {1, 2, 3}}};
  const Plan plan = plan_of(alexnet({{"big", 4, 30}, {"little", 4, 20}, {"gpu", 1, 25}}), request);
  for (const auto& stage : plan.stages) {
    for (const auto& device : stage.devices) {
      if (device.kind == "big") {
        EXPECT_TRUE(device.cpu == 6 || device.cpu == 7);
      }
      if (device.kind == "little") {
        EXPECT_TRUE(device.cpu >= 1 && device.cpu <= 3);
      }
      if (device.kind == "gpu") {
        EXPECT_EQ(device.cpu, 0);  // the first number that is free
      }
    }
  }
}

TEST(SearchPlan, KeepsTheLimitsOfTheRequest) {
  const Profile profile = alexnet({{"big", 4, 30}, {"little", 4, 20}});
  PlanRequest request = request_of(24);
  request.micro_batch = 5;
  request.max_stages = 2;
  request.max_replicas = 3;
  request.schedule = "fill-drain";
  const Plan plan = plan_of(profile, request);
  EXPECT_EQ(plan.micro_batch, 5);
  EXPECT_EQ(plan.micro_batches, 5);
  EXPECT_EQ(plan.schedule, "fill-drain");
  EXPECT_LE(plan.stages.size(), 2u);
  for (const auto& stage : plan.stages) EXPECT_LE(stage.workers(), 3);
  EXPECT_LE(plan_of(profile, request_of(24)).value_ns, plan.value_ns);
}

/// F = B = W = 10 for each of 4 micro-batches on 2 stages: 15 of 1F1B's, which idles for 3 of them,
/// are 13.
TEST(SearchPlan, WeightGradientsFillBubblesWhereTheyRunApart) {
  const Profile whole = plain_chain({10, 10}, 2);
  Profile apart = fixtures::in_two_parts(whole);
  PlanRequest request = request_of(4);
  request.max_replicas = 1;
  request.micro_batch = 1;
  EXPECT_EQ(plan_of(whole, request).value_ns, 150);
  const Plan plan = plan_of(apart, request);
  EXPECT_EQ(plan.schedule, "zero-bubble");
  EXPECT_EQ(plan.value_ns, 130);
  EXPECT_TRUE(plan.optimal);
  EXPECT_EQ(plan.stages[0].backward_ns, 10);
  EXPECT_EQ(plan.stages[0].weight_gradient_ns, 10);
  for (LayerCosts& layer : apart.layers) layer.weight_gradient_ns["core"] = {16};  // 4 x 6 > 20
  EXPECT_EQ(plan_of(apart, request).schedule, "1f1b");
}

TEST(SearchPlan, WeightGradientsWaitOnlyWhereThereIsMemory) {
  Profile apart = fixtures::in_two_parts(plain_chain({10, 10}, 2));
  for (LayerCosts& layer : apart.layers) layer.weight_gradient_bytes = 100;
  PlanRequest request = request_of(4);
  request.max_replicas = 1;
  request.micro_batch = 1;
  request.recompute = RecomputePolicy::none;
  request.memory_bytes = 300;  // one micro-batch waits on the first stage, two on the second
  EXPECT_EQ(plan_of(apart, request).memory_bytes, 300);
  request.memory_bytes = 299;
  EXPECT_EQ(plan_of(apart, request).schedule, "1f1b");
  request.schedule = "zero-bubble";
  request.memory_bytes = 99;
  const auto failure = std::get<PlanFailure>(search_plan(apart, request));
  EXPECT_THAT(failure.nearest, HasSubstr("--schedule auto"));
}

TEST(SearchPlan, ZeroBubbleIsTakenWhereItIsAskedFor) {
  const Profile whole = plain_chain({10, 10}, 2);
  PlanRequest request = request_of(4);
  request.max_replicas = 1;
  request.micro_batch = 1;
  request.schedule = "zero-bubble";
  const Plan plan = plan_of(whole, request);  // all of the backward part is in B
  EXPECT_EQ(plan.schedule, "zero-bubble");
  EXPECT_EQ(plan.value_ns, 150);
  EXPECT_EQ(plan.stages[0].weight_gradient_ns, 0);
  request.objective = Objective::period;
  EXPECT_THROW(search_plan(whole, request), ConfigError);
  request.schedule = "auto";
  EXPECT_EQ(plan_of(fixtures::in_two_parts(whole), request).schedule, "1f1b");
}

/// What is known of the two parts and does not win changes no plan.
TEST(SearchPlan, OnAlexnetFindsTheSamePlanOrABetterOne) {
  const Profile whole = alexnet({{"big", 4, 30}, {"little", 2, 20}});
  const Plan without = plan_of(whole, request_of(16));
  const Plan with = plan_of(fixtures::in_two_parts(whole), request_of(16));
  EXPECT_TRUE(with.optimal);
  EXPECT_LE(with.value_ns, without.value_ns);
}

TEST(SearchPlan, RecomputesWhereMemoryIsShort) {
  Profile profile = plain_chain({10, 10, 10, 10}, 2);
  for (auto& layer : profile.layers) layer.saved_bytes = 100;
  PlanRequest request = request_of(8);
  request.max_replicas = 1;
  request.schedule = "fill-drain";
  request.micro_batch = 1;
  const Plan rich = plan_of(profile, request);
  EXPECT_EQ(rich.memory_bytes, 8 * 400);
  request.memory_bytes = rich.memory_bytes - 1;
  const Plan poor = plan_of(profile, request);
  EXPECT_LE(poor.memory_bytes, *request.memory_bytes);
  EXPECT_GT(poor.value_ns, rich.value_ns);
  int recomputed = 0;
  for (const auto& stage : poor.stages) recomputed += stage.recompute.empty() ? 0 : 1;
  EXPECT_EQ(recomputed, 1);
  request.recompute = RecomputePolicy::all;
  request.memory_bytes.reset();
  for (const auto& stage : plan_of(profile, request).stages) {
    EXPECT_EQ(stage.recompute, stage.layers);
  }
}

TEST(SearchPlan, FeaturesAreSplitWhereWeightsAreLarge) {
  const Plan plan = plan_of(alexnet({{"core", 2}}), request_of(64));
  ASSERT_EQ(plan.stages.size(), 1u);
  EXPECT_EQ(plan.stages[0].split, Split::features);
  EXPECT_EQ(plan.stages[0].feature_layers.front(), "classifier.1");
  EXPECT_EQ(plan.stages[0].feature_layers.back(), "classifier.6");
  EXPECT_EQ(plan.stages[0].shares, (std::vector<std::int64_t>{32, 32}));
}

TEST(SearchPlan, NamesTheImplementationsThatWereMeasured) {
  Profile profile = plain_chain({10, 10}, 1);
  profile.layers[1].implementation = {{"core", "blocked"}};
  const Plan plan = plan_of(profile, request_of(2));
  EXPECT_EQ(plan.stages[0].implementations,
            (std::map<std::string, Implementation>{{"l1", {"blocked", "blocked", "blocked"}}}));
}

TEST(SearchPlan, PeriodIsTheLargestLoadPerMicroBatch) {
  PlanRequest request = request_of(4);
  request.objective = Objective::period;
  request.micro_batch = 1;
  const Plan plan = plan_of(plain_chain({10, 20, 10, 20}, 2), request);
  EXPECT_EQ(plan.stages.size(), 2u);
  EXPECT_DOUBLE_EQ(plan.value_ns, 90);
  EXPECT_DOUBLE_EQ(*alternative(plan, "one core").value_ns, 180);
}

TEST(SearchPlan, InferenceHasForwardOnly) {
  Profile profile = plain_chain({10, 20}, 2);
  profile.training = false;
  for (auto& layer : profile.layers) layer.backward_ns.clear();
  PlanRequest request = request_of(4);
  request.micro_batch = 1;
  const Plan plan = plan_of(profile, request);
  EXPECT_EQ(plan.schedule, "forward-only");
  EXPECT_EQ(plan.stages.front().backward_ns, 0);
  EXPECT_DOUBLE_EQ(plan.value_ns, 10 + 4 * 20);
  request.schedule = "1f1b";
  EXPECT_THAT(error_of(profile, request), HasSubstr("is for training, and the costs are for"));
}

TEST(SearchPlan, AlternativesSayWhyTheyAreNotPossible) {
  const Plan plan = plan_of(plain_chain({10}, 1), request_of(4));
  EXPECT_EQ(alternative(plan, "one core").why_not, "is the plan");
  EXPECT_THAT(alternative(plan, "threads").why_not, HasSubstr("only one device of \"core\""));
  EXPECT_FALSE(alternative(plan, "even data parallel").value_ns);
  PlanRequest request = request_of(2);
  request.micro_batch = 1;
  const Plan narrow = plan_of(plain_chain({10, 10}, 2), request);
  EXPECT_THAT(alternative(narrow, "threads").why_not, HasSubstr("has no threads_ns for 2 devices"));
  EXPECT_THAT(alternative(narrow, "even data parallel").why_not, HasSubstr("2 replicas need"));
  EXPECT_DOUBLE_EQ(*alternative(narrow, "best single stage").value_ns, 120);
  Profile tight = plain_chain({10, 10}, 2);
  for (auto& layer : tight.layers) layer.weights_bytes = 100;
  tight.shared_memory_bytes = 700;
  EXPECT_EQ(alternative(plan_of(tight, request_of(2)), "even data parallel").why_not,
            "needs 800 B, the budget is 700 B");
  tight.shared_memory_bytes.reset();
  tight.kinds[0].memory_bytes = 400;
  EXPECT_EQ(alternative(plan_of(tight, request_of(2)), "one core").why_not,
            "needs 600 B on \"core\", which has 400 B");
}

TEST(SearchPlan, RefusesRequestsThatNoCostsCouldSatisfy) {
  const Profile profile = plain_chain({10, 10}, 2);
  EXPECT_THAT(error_of(profile, request_of(0)), HasSubstr("the batch is 0"));
  EXPECT_THAT(error_of(profile, request_of(std::int64_t{1} << 40)), HasSubstr("change --batch"));
  const auto with = [&](auto change) {
    PlanRequest request = request_of(8);
    change(request);
    return error_of(profile, request);
  };
  EXPECT_THAT(with([](auto& r) { r.micro_batch = 9; }),
              HasSubstr("micro-batch is 9, 1 to the batch"));
  EXPECT_THAT(with([](auto& r) { r.micro_batch = 0; }), HasSubstr("micro-batch is 0"));
  EXPECT_THAT(with([](auto& r) { r.schedule = "best"; }), HasSubstr("\"best\" is no schedule"));
  EXPECT_THAT(with([](auto& r) { r.max_stages = 0; }), HasSubstr("--max-stages is 0"));
  EXPECT_THAT(with([](auto& r) { r.max_replicas = -1; }), HasSubstr("--max-replicas is -1"));
  EXPECT_THAT(with([](auto& r) { r.memory_bytes = -1; }), HasSubstr("--memory is -1"));
  EXPECT_THAT(with([](auto& r) { r.cpus = {{"big", {0}}}; }), HasSubstr("kind \"big\""));
  EXPECT_THAT(with([](auto& r) {
                r.cpus = {{"core", {0, 0}}};
              }),
              HasSubstr("CPU 0 is given twice"));
  EXPECT_THAT(with([](auto& r) { r.cpus = {{"core", {-1}}}; }), HasSubstr("no CPU number"));
  EXPECT_THAT(with([](auto& r) { r.cpus = {{"core", {}}}; }), HasSubstr("no device is left"));
}

TEST(SearchPlan, WholeBatchLayersMakeAStepOneMicroBatch) {
  Profile profile = plain_chain({10, 20, 10}, 2);
  profile.layers[1].whole_batch = true;
  EXPECT_EQ(plan_of(profile, request_of(8)).micro_batches, 1);
  PlanRequest request = request_of(8);
  request.micro_batch = 4;
  EXPECT_THAT(error_of(profile, request),
              HasSubstr("micro-batch is 4, layer \"l1\" takes statistics of the whole batch of 8"));
  request.micro_batch = 8;
  EXPECT_EQ(plan_of(profile, request).micro_batches, 1);
}

TEST(SearchPlan, CutsAreWhereLittleCrosses) {
  Profile profile = plain_chain({10, 10, 10, 10}, 2);
  profile.kinds[0].link_ns_per_byte = 1;
  // l0 is read at the end, too: behind it two tensors cross every border but the last.
  profile.tensors = {{"l0", {"l1", "l2"}, 8}, {"l1", {"l2"}, 8}, {"l2", {"l3"}, 1}};
  PlanRequest request = request_of(8);
  request.max_replicas = 1;
  const Plan plan = plan_of(profile, request);
  ASSERT_EQ(plan.stages.size(), 2U);
  EXPECT_EQ(plan.stages[0].layers, (std::vector<std::string>{"l0", "l1", "l2"}));
}

/// Stopped early, the search still has a plan and a bound that holds.
TEST(Search, WithoutTimeToFinishReportsABound) {
  const Profile profile = alexnet({{"big", 4, 30}, {"little", 4, 7, 4}, {"gpu", 1, 120}});
  const CostModel model(profile, {4, 4, 1}, Objective::makespan);
  SearchSpace space;
  space.batch = 64;
  for (std::int64_t b = 64; b > 0; --b) space.micro_batches.push_back(b);
  space.schedules = {"1f1b", "fill-drain"};
  space.max_stages = 21;
  space.most_work = 4'000'000;
  const SearchResult whole = search(model, space);
  ASSERT_TRUE(whole.optimal);
  space.most_work = 100;
  const SearchResult part = search(model, space);
  ASSERT_TRUE(part.best);
  EXPECT_FALSE(part.optimal);
  EXPECT_LE(part.bound_score_ns, whole.best->score_ns);
  EXPECT_GE(part.best->score_ns, whole.best->score_ns);
  EXPECT_LT(part.states, whole.states);
}

/// 3^14 ideals: too many to keep.
TEST(SearchPlan, OfAGraphWithTooManyIdealsIsNotCalledOptimal) {
  const Profile profile = fixtures::branches(14, 2, 4);
  PlanRequest request;
  request.batch = 1;
  request.objective = Objective::period;
  const Plan plan = std::get<Plan>(search_plan(profile, request));
  EXPECT_LE(plan.search.ideals, 100'000);
  EXPECT_FALSE(plan.optimal);
  EXPECT_LE(plan.bound_ns, plan.value_ns);
  EXPECT_LE(plan.value_ns,
            3 * 30 * 4 / 3.0 + 1e-9);  // all layers, forward and backward, on 3 cores
  EXPECT_EQ(check_plan(plan, profile, request).stages, plan.stages);
  EXPECT_FALSE(predicted_times(plan, profile, plan.batch).empty());
}

}  // namespace
}  // namespace millrace
