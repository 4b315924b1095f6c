#include "controller/calendar.hpp"

#include <gtest/gtest.h>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

Calendar::Rules rules(TrainingEnd end) { return {end, 4, 2, 3}; }

TEST(Calendar, EndsByStepsByEpochsAndByTime) {
  const Calendar steps(rules({10, {}, {}}));
  EXPECT_EQ(steps.last_step(), 10);
  EXPECT_FALSE(steps.ended(9, 1'000'000));
  EXPECT_TRUE(steps.ended(10, 0));
  const Calendar epochs(rules({{}, 3, {}}));
  EXPECT_EQ(epochs.last_step(), 12);
  const Calendar time(rules({{}, {}, 500}));
  EXPECT_FALSE(time.last_step().has_value());
  EXPECT_FALSE(time.ended(1'000'000, 499));
  EXPECT_TRUE(time.ended(0, 500));
}

TEST(Calendar, ADeadlineMayStandAloneAndAsksForNothing) {
  const Calendar alone(rules({{}, {}, {}, 500}));
  EXPECT_FALSE(alone.last_step().has_value());
  EXPECT_EQ(alone.end_ns(), 500);
  EXPECT_FALSE(alone.ended(1'000'000, 1'000'000));
  const Calendar beside(rules({10, {}, {}, 500}));
  EXPECT_EQ(beside.last_step(), 10);
  EXPECT_EQ(beside.deadline_ns(), 500);
  EXPECT_FALSE(beside.ended(9, 1'000'000));
  EXPECT_TRUE(beside.ended(10, 0));
  EXPECT_EQ(Calendar(rules({{}, {}, 300, 500})).end_ns(), 300);
}

TEST(Calendar, EpochsAreCountedByTheStepBefore) {
  const Calendar calendar(rules({20, {}, {}}));
  EXPECT_EQ(calendar.epoch_of(0), 0);
  EXPECT_EQ(calendar.epoch_of(4), 0);
  EXPECT_EQ(calendar.epoch_of(5), 1);
  EXPECT_TRUE(calendar.epoch_ends(4));
  EXPECT_FALSE(calendar.epoch_ends(5));
}

TEST(Calendar, EvaluationsAndCheckpointsAreDueAtMultiplesAndAtTheEnd) {
  const Calendar calendar(rules({10, {}, {}}));
  std::vector<int> evaluations, checkpoints;
  for (int step = 1; step <= 10; ++step) {
    if (calendar.evaluation_due(step)) evaluations.push_back(step);
    if (calendar.checkpoint_due(step)) checkpoints.push_back(step);
  }
  EXPECT_EQ(evaluations, (std::vector{8, 10}));
  EXPECT_EQ(checkpoints, (std::vector{3, 6, 9, 10}));
}

TEST(Calendar, CountsAreTheSumsOfWhatIsDue) {
  for (const auto& end :
       {TrainingEnd{23, {}, {}}, TrainingEnd{{}, 6, {}}, TrainingEnd{{}, {}, 99}}) {
    const Calendar calendar(rules(end));
    for (int from = 0; from < 30; ++from) {
      int evaluations = 0, checkpoints = 0, epochs = 0;
      for (int to = from + 1; to < 30; ++to) {
        evaluations += calendar.evaluation_due(to);
        checkpoints += calendar.checkpoint_due(to);
        epochs += calendar.epoch_ends(to);
        EXPECT_EQ(calendar.evaluations(from, to), evaluations);
        EXPECT_EQ(calendar.checkpoints(from, to), checkpoints);
        EXPECT_EQ(calendar.epoch_ends(from, to), epochs);
      }
    }
  }
}

TEST(Calendar, ZeroIntervalsMeanTheEndOnly) {
  const Calendar calendar({{8, {}, {}}, 4, 0, 0});
  EXPECT_EQ(calendar.evaluations(0, 8), 1);
  EXPECT_EQ(calendar.checkpoints(0, 8), 1);
  EXPECT_TRUE(calendar.evaluation_due(8));
}

TEST(Calendar, RefusesEndsThatAreNotOne) {
  EXPECT_THROW(Calendar(rules({})), ConfigError);
  EXPECT_THROW(Calendar(rules({1, 1, {}})), ConfigError);
  EXPECT_THROW(Calendar(rules({0, {}, {}})), ConfigError);
  EXPECT_THROW(Calendar(rules({{}, {}, -5})), ConfigError);
  EXPECT_THROW(Calendar({{5, {}, {}}, 4, -1, 0}), ConfigError);
  EXPECT_THROW(Calendar({{5, {}, {}}, 4, 1, -1}), ConfigError);
}

}  // namespace
}  // namespace millrace
