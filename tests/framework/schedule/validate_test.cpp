// What the validator refuses, and what it says.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "millrace/errors.hpp"
#include "millrace/schedule.hpp"
#include "tests/framework/schedule/random_pipeline.hpp"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string refusal(const Schedule& schedule, int in_flight_limit = 0) {
  try {
    validate(schedule, in_flight_limit);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "valid";
}

std::string refusal(std::string_view text, int in_flight_limit = 0) {
  return refusal(parse_schedule(text, "by hand"), in_flight_limit);
}

TEST(Validate, AcceptsWhatCanRun) {
  EXPECT_EQ(refusal("0F0 0B0 0R 0U"), "valid");
  EXPECT_EQ(refusal("0F0 0F1 0B1 0W1 0B0 0W0 0R 0U"), "valid");
  EXPECT_EQ(refusal("0F1 0F0 0B0 0B1 0R 0U\n1F1 1F0 1B0 1B1 1R 1U\n"), "valid");
}

TEST(Validate, MissingActions) {
  EXPECT_THAT(refusal("0F0 0F1 0B0 0R 0U"), HasSubstr("stage 0 has 5 actions"));
  EXPECT_THAT(refusal("0F0 0F1 0B0 0B1 0R 0U\n1F0 1B0 1R 1U"),
              AllOf(HasSubstr("stage 1 has 4 actions"), HasSubstr("need 6")));
  EXPECT_THAT(refusal("0F0 0B0 0R"), HasSubstr("once"));
  EXPECT_THAT(refusal("0F0 0B0"), HasSubstr("once"));
}

/// Where one stage has W, every stage has.
TEST(Validate, MissingWeightGradients) {
  EXPECT_THAT(refusal("0F0 0B0 0W0 0R 0U\n1F0 1B0 1R 1U"),
              AllOf(HasSubstr("stage 1 has 4 actions"), HasSubstr("need 5")));
  EXPECT_THAT(refusal("0F0 0F1 0B0 0W0 0B1 0R 0W1 0U"),
              HasSubstr("0R comes after 1 of 2 weight gradients"));
}

TEST(Validate, ANumberTooLargeIsNoMemoryRequest) {
  EXPECT_THAT(refusal("0F0 0F999999 0B0 0B999999 0R 0U"), HasSubstr("1000000 micro-batches need"));
}

TEST(Validate, DoubledActions) {
  EXPECT_THAT(refusal("0F0 0F0 0B0 0R 0U"), HasSubstr("0F0 is there twice"));
  EXPECT_THAT(refusal("0F0 0B0 0B0 0R 0U"), HasSubstr("0B0 is there twice"));
  EXPECT_THAT(refusal("0F0 0B0 0R 0R 0U"), HasSubstr("0R is there twice"));
  EXPECT_THAT(refusal("0F0 0B0 0R 0U 0U"), HasSubstr("0U comes after the update"));
}

TEST(Validate, WrongOrderOnAStage) {
  EXPECT_THAT(refusal("0B0 0F0 0R 0U"), HasSubstr("0B0 comes before its forward"));
  EXPECT_THAT(refusal("0F0 0F1 0B0 0R 0B1 0U"), HasSubstr("0R comes after 1 of 2 backwards"));
  EXPECT_THAT(refusal("0F0 0B0 0U 0R"), HasSubstr("0U comes before the reduction"));
  EXPECT_THAT(refusal("0F0 0W0 0B0 0R 0U"), HasSubstr("0W0 comes before its backward"));
  EXPECT_THAT(refusal("0F0 0B0 0W0 0W0 0R 0U"), HasSubstr("0W0 is there twice"));
  EXPECT_THAT(refusal("0F0 0B0 0R 0U 0F1"), HasSubstr("stage 0 has 5 actions"));
}

TEST(Validate, DeadlockAcrossStages) {
  EXPECT_THAT(refusal("0F0 0B0 0F1 0B1 0R 0U\n1F0 1F1 1B0 1B1 1R 1U\n"),
              AllOf(HasSubstr("wait for each other"), HasSubstr("0B0"), HasSubstr("1F1")));
  EXPECT_THAT(refusal("0F0 0F1 0B0 0B1 0R 0U\n1F0 1F1 1B1 1B0 1R 1U\n"), "valid");
  EXPECT_THAT(refusal("0F0 0B0 0F1 0B1 0R 0U\n1F1 1F0 1B1 1B0 1R 1U\n"), HasSubstr("1F1"));
}

TEST(Validate, InFlightLimit) {
  const Schedule fill_drain = make_schedule("fill-drain", 2, 4);
  EXPECT_EQ(refusal(fill_drain, 4), "valid");
  EXPECT_THAT(refusal(fill_drain, 3), AllOf(HasSubstr("0F3"), HasSubstr("limit is 3")));
  EXPECT_EQ(refusal(make_schedule("1f1b", 2, 4), 2), "valid");
  EXPECT_THAT(refusal(make_schedule("1f1b", 2, 4), 1), HasSubstr("0F1"));
  EXPECT_EQ(refusal(make_schedule("zero-bubble", 3, 5), 3), "valid");  // until W has run
  EXPECT_THAT(refusal(make_schedule("zero-bubble", 3, 5), 2), HasSubstr("0F2"));
  EXPECT_EQ(refusal(make_schedule("forward-only", 2, 4), 1), "valid");  // nothing is kept
}

TEST(Validate, ForwardOnlyHasForwardsOnly) {
  EXPECT_THAT(refusal(parse_schedule("0F0 0B0", "forward-only")), HasSubstr("0B0 stands in"));
}

TEST(Validate, ValuesThatTextCannotHold) {
  Schedule schedule = make_schedule("1f1b", 2, 2);
  schedule.actions[1][0].stage = 0;
  EXPECT_THAT(refusal(schedule), HasSubstr("0F0 stands on lane 1"));
  schedule = make_schedule("1f1b", 2, 2);
  schedule.actions[0][0].micro_batch = -1;
  EXPECT_THAT(refusal(schedule), HasSubstr("micro-batch -1"));
  schedule.actions[0][0].micro_batch = 2;
  EXPECT_THAT(refusal(schedule), HasSubstr("the step has 2"));
  EXPECT_THAT(refusal(Schedule{"1f1b", 2, {}, {}}), HasSubstr("0 stages"));
  EXPECT_THAT(refusal(Schedule{"1f1b", 0, {0}, {{}}}), HasSubstr("0 micro-batches"));
}

/// Swapping two actions of a valid schedule either leaves it runnable (the naive simulator, which
/// never ends on a deadlock, is not asked) or is refused: simulate() and validate() agree.
TEST(Validate, AcceptsExactlyWhatSimulationCanRun) {
  testing::Random random(5);
  int valid = 0, deadlocks = 0;
  for (int i = 0; i < 3000; ++i) {
    const int stages = testing::random_int(random, 2, 4);
    Schedule schedule = make_schedule("1f1b", stages, testing::random_int(random, 1, 5));
    auto& actions =
        schedule.actions[static_cast<std::size_t>(testing::random_int(random, 0, stages - 1))];
    const int last = static_cast<int>(actions.size()) - 3;  // R and U stay
    std::swap(actions[static_cast<std::size_t>(testing::random_int(random, 0, last))],
              actions[static_cast<std::size_t>(testing::random_int(random, 0, last))]);
    const std::vector<StageTimes> times(static_cast<std::size_t>(stages), StageTimes{{1}, {1}});
    const std::string result = refusal(schedule);
    if (result == "valid") {
      ++valid;
      EXPECT_NO_THROW(simulate_makespan_ns(schedule, times)) << to_text(schedule);
    } else {
      ++deadlocks;
      EXPECT_THROW(simulate_makespan_ns(schedule, times), InternalError)
          << to_text(schedule) << result;
    }
  }
  EXPECT_GT(valid, 100);
  EXPECT_GT(deadlocks, 100);
}

}  // namespace
}  // namespace millrace
