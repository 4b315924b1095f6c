// Steps that fail in a run.

#include "controller/step_failure.hpp"

#include <gmock/gmock.h>

#include <new>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "controller/run_status.hpp"
#include "controller/taken_plans.hpp"
#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "tests/controller/fake_session.hpp"
#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class StepFailureTest : public ScratchFolder {
 protected:
  StepFailureTest() {
    session_.scale(1000);
    session_.offers = [&]() -> std::optional<PlanOffer> {
      PlanOffer offer{session_.plan(), session_.profile(), {}};
      offer.plan.memory_bytes = offered_bytes_;
      return offer;
    };
    Plan plan = session_.plan();
    plan.memory_bytes = 1000;
    session_.take_plan(plan, session_.profile());
    session_.taken.clear();
  }

  TrainingSettings settings() {
    TrainingSettings settings = fake_settings(session_, 10);
    settings.checkpoint_every_steps = 3;
    return settings;
  }
  TrainingResult run() { return run_training(session_, folder_, settings(), observer_); }
  /// Calls fail(step) `times` times at the step.
  template <typename Fail>
  auto fails_at(std::int64_t step, int times, Fail fail) {
    return [=, left = times](std::int64_t now) mutable {
      if (now == step && left-- > 0) fail();
    };
  }
  static void out_of_memory() { throw std::bad_alloc(); }
  static void bad_sample() { throw std::runtime_error("sample 7"); }

  std::vector<float> plain_weights() const {
    FakeSession plain{4};
    while (plain.trained() < 10) plain.train_next();
    return plain.weights();
  }
  std::vector<json> lines(const std::string& kind) const {
    std::vector<json> result;
    std::istringstream stream(read_file(folder_.metrics(), "test"));
    for (std::string text; std::getline(stream, text);) {
      json line = json::parse(text);
      if (line.at("kind") == kind) result.push_back(std::move(line));
    }
    return result;
  }
  std::vector<std::int64_t> step_lines() const {
    std::vector<std::int64_t> steps;
    for (const json& line : lines("step")) steps.push_back(line.at("step"));
    return steps;
  }
  std::int64_t newest() const { return CheckpointFolder(folder_.checkpoints()).steps().back(); }

  std::int64_t offered_bytes_ = 700;
  FakeSession session_{4};
  RunFolder folder_ = RunFolder::create(scratch_ / "run", false);
  RecordingObserver observer_;
};

TEST_F(StepFailureTest, AStepIsTrainedAgainAsIfNothingHadBeen) {
  session_.before_step = fails_at(4, 1, bad_sample);
  const TrainingResult result = run();
  EXPECT_EQ(result.steps, 10);
  EXPECT_EQ(result.failed_steps, 1);
  EXPECT_EQ(result.plan_changes, 0);
  EXPECT_EQ(session_.weights(), plain_weights());
  EXPECT_THAT(step_lines(), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
  const auto failures = lines("failure");
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].at("step"), 4);
  EXPECT_EQ(failures[0].at("failed_step"), 5);
  EXPECT_EQ(failures[0].at("reason"), "sample 7");
  EXPECT_EQ(read_run_status(folder_.path()).failed_steps, 1);
}

TEST_F(StepFailureTest, EachStepHasItsOwnSecondTry) {
  session_.before_step =
      [left = std::map<std::int64_t, int>{{2, 1}, {3, 1}, {8, 1}}](std::int64_t step) mutable {
        if (left[step]-- > 0) bad_sample();
      };
  EXPECT_EQ(run().failed_steps, 3);
  EXPECT_EQ(session_.weights(), plain_weights());
}

TEST_F(StepFailureTest, ASecondFailureEndsTheRunWithACheckpointOfTheStepsBefore) {
  session_.before_step = fails_at(5, 2, bad_sample);
  EXPECT_THROW(run(), std::runtime_error);
  EXPECT_EQ(newest(), 5);
  EXPECT_EQ(read_run_status(folder_.path()).state, RunState::failed);
  TrainingSettings resumed = settings();
  resumed.resume = true;
  EXPECT_EQ(run_training(session_, folder_, resumed, observer_).steps, 10);
  EXPECT_EQ(session_.weights(), plain_weights());
}

TEST_F(StepFailureTest, WhatWouldFailAgainIsNotTriedAgain) {
  session_.before_step = fails_at(5, 1, [] { throw ConfigError("batch", "a token is no token"); });
  EXPECT_THROW(run(), ConfigError);
  EXPECT_THAT(lines("failure"), IsEmpty());
  EXPECT_EQ(newest(), 5) << "the steps before it are kept";
}

TEST_F(StepFailureTest, ForWantOfMemoryAPlanThatNeedsLessIsTaken) {
  session_.before_step = fails_at(4, 1, out_of_memory);
  const TrainingResult result = run();
  EXPECT_EQ(result.plan_changes, 1);
  EXPECT_THAT(session_.limits, ElementsAre(750));
  ASSERT_EQ(session_.taken.size(), 1u);
  EXPECT_EQ(session_.taken[0].first, 4);
  EXPECT_THAT(TakenPlans(folder_.plans()).steps(), ElementsAre(4));
  EXPECT_EQ(session_.weights(), plain_weights());
}

TEST_F(StepFailureTest, WhereNoPlanNeedsLessTheStepIsTrainedAgainUnderItsOwn) {
  session_.offers = []() -> std::optional<PlanOffer> { throw NoPlanError("plan", "no"); };
  session_.before_step =
      fails_at(4, 1, [] { throw ResourceError("memory", "the system refuses 2 GiB"); });
  const TrainingResult result = run();
  EXPECT_EQ(result.plan_changes, 0);
  EXPECT_EQ(result.failed_steps, 1);
  EXPECT_THAT(session_.limits, ElementsAre(750, 900));
  EXPECT_EQ(session_.weights(), plain_weights());
}

TEST_F(StepFailureTest, ARunThatKeepsItsPlanKeepsIt) {
  session_.before_step = fails_at(4, 1, out_of_memory);
  TrainingSettings never = settings();
  never.replans = false;
  EXPECT_EQ(run_training(session_, folder_, never, observer_).plan_changes, 0);
  EXPECT_THAT(session_.limits, IsEmpty());
}

TEST_F(StepFailureTest, AStepLostAmidItsUpdateIsTrainedAgainFromTheCheckpoint) {
  session_.amid_update = fails_at(7, 1, bad_sample);
  const TrainingResult result = run();
  EXPECT_EQ(result.steps, 10);
  EXPECT_EQ(result.failed_steps, 1);
  EXPECT_EQ(session_.weights(), plain_weights());
  EXPECT_EQ(observer_.start.step, 6) << "the newest checkpoint";
  EXPECT_THAT(step_lines(), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
  EXPECT_EQ(lines("failure").at(0).at("step"), 6);
  EXPECT_EQ(lines("failure").at(0).at("failed_step"), 8);
}

TEST_F(StepFailureTest, AStepThatIsLostTwiceEndsTheRun) {
  session_.amid_update = fails_at(7, 2, bad_sample);
  EXPECT_THROW(run(), std::runtime_error);
  EXPECT_EQ(newest(), 6) << "half a step is in no checkpoint";
}

TEST_F(StepFailureTest, GoingBackTwiceToOneCheckpointEndsTheRun) {
  session_.amid_update = [seven = fails_at(6, 1, bad_sample),
                          eight = fails_at(7, 1, bad_sample)](std::int64_t step) mutable {
    seven(step);
    eight(step);
  };
  EXPECT_THROW(run(), std::runtime_error);
  EXPECT_EQ(newest(), 6);
}

TEST_F(StepFailureTest, ALostStepBeforeTheFirstCheckpointEndsTheRun) {
  session_.amid_update = fails_at(1, 1, bad_sample);
  EXPECT_THROW(run(), std::runtime_error);
  EXPECT_THAT(CheckpointFolder(folder_.checkpoints()).steps(), IsEmpty());
}

TEST_F(StepFailureTest, GoingBackTakesThePlanThatWasInForce) {
  const Plan first = session_.plan();
  write_file_atomically(folder_.plan(), to_json(first), "test");
  write_file_atomically(folder_.costs(), to_json(session_.profile()), "test");
  session_.before_step = fails_at(5, 1, out_of_memory);  // another plan, behind the checkpoint
  session_.amid_update = fails_at(6, 1, bad_sample);
  TrainingSettings four = settings();
  four.checkpoint_every_steps = 4;
  EXPECT_EQ(run_training(session_, folder_, four, observer_).steps, 10);
  ASSERT_EQ(session_.taken.size(), 3u);
  EXPECT_EQ(session_.taken[0].first, 5);
  EXPECT_EQ(session_.taken[1].second.memory_bytes, first.memory_bytes);
  EXPECT_EQ(session_.taken[2].first, 5) << "and the later one again at its step";
  EXPECT_EQ(session_.taken[2].second.memory_bytes, 700);
  EXPECT_EQ(session_.weights(), plain_weights());
}

TEST_F(StepFailureTest, ADeadlineStaysWhereItIs) {
  TrainingSettings due = settings();
  due.end.deadline_ns = 1'000'000'000;
  session_.amid_update = fails_at(7, 1, bad_sample);
  run_training(session_, folder_, due, observer_);
  const std::int64_t lost = observer_.steps.at(6).elapsed_ns - observer_.steps.at(5).elapsed_ns;
  EXPECT_GT(lost, 0);
  EXPECT_EQ(*observer_.steps.at(5).deadline_ns - *observer_.steps.back().deadline_ns, lost);
}

/// Whatever ends a run, the steps that are whole are not lost.
TEST_F(StepFailureTest, AnExceptionBetweenStepsLeavesACheckpointOfThem) {
  class Thrower : public RecordingObserver {
    void stepped(const TrainingProgress& progress) override {
      if (progress.step == 5) throw std::runtime_error("no more lines");
    }
  } thrower;
  EXPECT_THROW(run_training(session_, folder_, settings(), thrower), std::runtime_error);
  EXPECT_EQ(CheckpointFolder(folder_.checkpoints()).open("last").info.step, 5);
}

}  // namespace
}  // namespace millrace
