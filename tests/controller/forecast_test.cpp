#include "controller/forecast.hpp"

#include <gtest/gtest.h>

#include "tests/controller/fake_session.hpp"

namespace millrace {
namespace {

constexpr double kStep = FakeSession::kStep_ns;
constexpr double kCheckpoint = 100;

Calendar calendar(TrainingEnd end, std::int64_t checkpoint_every = 0) {
  return Calendar({end, 4, 1, checkpoint_every});
}

/// What one evaluation of the session is expected to take.
double evaluation_ns(const FakeSession& session) {
  RunShape shape;
  shape.evaluated_samples = session.validation;
  return estimate_run(session.profile(), session.plan(), shape).run.expected_ns;
}

TEST(Forecast, AddsStepsEvaluationsAndCheckpoints) {
  FakeSession session;
  session.validation = 0;
  const Calendar only_end = calendar({2, {}, {}});
  EXPECT_DOUBLE_EQ(
      Forecast(outline_of(session), only_end, {kCheckpoint, 0.99}, 0, 0).first().run.expected_ns,
      2 * kStep + kCheckpoint);
  session.validation = 32;
  EXPECT_DOUBLE_EQ(
      Forecast(outline_of(session), only_end, {kCheckpoint, 0.99}, 0, 0).first().run.expected_ns,
      2 * kStep + kCheckpoint + evaluation_ns(session));
}

TEST(Forecast, EpochsCheckpointsTakeATenthAtMost) {
  FakeSession session;
  session.validation = 0;
  const Calendar epochs = calendar({{}, 10, {}});
  const double steps = 40 * kStep;
  EXPECT_NEAR(Forecast(outline_of(session), epochs, {1, 0.99}, 0, 0).first().run.expected_ns,
              steps + 1 + 9, 1e-6);
  EXPECT_NEAR(Forecast(outline_of(session), epochs, {2000, 0.99}, 0, 0).first().run.expected_ns,
              steps + kCheckpointShare * steps + 2000 + 2000, 1e-6)
      << "one more begins within the share, and the last is certain";
}

TEST(Forecast, CountsWhatIsLeftOnly) {
  FakeSession session;
  session.validation = 0;
  const Calendar steps = calendar({40, {}, {}});
  const Forecast forecast(outline_of(session), steps, {0, 0.99}, 30, 0);
  EXPECT_DOUBLE_EQ(forecast.first().run.expected_ns, 10 * kStep);
  EXPECT_DOUBLE_EQ(forecast.remaining(30, 0).expected_ns, 10 * kStep);
  EXPECT_DOUBLE_EQ(forecast.remaining(39, 0).expected_ns, kStep);
  EXPECT_DOUBLE_EQ(forecast.remaining(40, 0).expected_ns, 0);
  EXPECT_DOUBLE_EQ(forecast.remaining(41, 0).expected_ns, 0);
}

TEST(Forecast, TheEstimateIsTheFirstRemainingTime) {
  FakeSession session(4, 5);
  const Calendar epochs = calendar({{}, 10, {}}, 7);
  const Forecast forecast(outline_of(session), epochs, {50, 0.99}, 0, 0);
  EXPECT_NEAR(forecast.remaining(0, 0).expected_ns / forecast.first().run.expected_ns, 1, 0.05);
}

TEST(Forecast, LearnsFromWhatWasMeasured) {
  FakeSession session;
  const Calendar epochs = calendar({{}, 10, {}});
  Forecast forecast(outline_of(session), epochs, {0, 0.99}, 0, 0);
  const double before = forecast.remaining(20, 0).expected_ns;
  for (int i = 0; i < 200; ++i)
    forecast.observe_step(FakeSession::kBatch, 2 * FakeSession::kStep_ns);
  forecast.observe_evaluation(10'000);
  EXPECT_NEAR(forecast.remaining(20, 0).expected_ns, 20 * 2 * kStep + 5 * 10'000, 0.02 * 80'000);
  EXPECT_GT(forecast.remaining(20, 0).expected_ns, before);
}

TEST(Forecast, ASmallerLastStepOfAnEpochTeachesNothingAboutFullOnes) {
  FakeSession session(4, 5);
  session.validation = 0;
  const Calendar epochs = calendar({{}, 10, {}});
  Forecast forecast(outline_of(session), epochs, {0, 0.99}, 0, 0);
  const double before = forecast.remaining(4, 0).expected_ns;
  for (int i = 0; i < 50; ++i) forecast.observe_step(5, 100 * FakeSession::kStep_ns);
  EXPECT_DOUBLE_EQ(forecast.remaining(4, 0).expected_ns, before);
}

TEST(Forecast, ShowsTheLastFullStepsAsARehearsal) {
  FakeSession session(4, 5);
  const Calendar epochs = calendar({{}, 10, {}}, 7);
  Forecast forecast(outline_of(session), epochs, {50, 0.99}, 0, 0);
  forecast.observe_step(FakeSession::kBatch, 900);
  EXPECT_FALSE(forecast.shown()) << "the first found cold caches";
  forecast.observe_step(FakeSession::kBatch, 100);
  forecast.observe_step(5, 10);
  EXPECT_EQ(forecast.shown(), (Rehearsal{{100}, 0, 0, 50})) << "nothing was evaluated";
  forecast.observe_evaluation(30);
  forecast.observe_checkpoint(20);
  for (int i = 0; i < 150; ++i) forecast.observe_step(FakeSession::kBatch, 200 + i);
  const Rehearsal shown = forecast.shown().value();
  EXPECT_EQ(shown.steps_ns.size(), 100u);
  EXPECT_EQ(shown.steps_ns.back(), 349);
  EXPECT_EQ(shown.evaluation_ns, 30);
  EXPECT_EQ(shown.evaluated_samples, session.validation);
  EXPECT_EQ(shown.save_ns, 20);
}

TEST(Forecast, KeepsWhatWasRehearsedAndNotSeenSince) {
  FakeSession session;
  const Calendar epochs = calendar({{}, 10, {}});
  const Rehearsal tried{{100, 100}, 40, 3, 7};
  Forecast forecast(outline_of(session), epochs, {50, 0.99, tried}, 0, 0);
  for (int i = 0; i < 2; ++i) forecast.observe_step(FakeSession::kBatch, 300);
  EXPECT_EQ(forecast.shown(), (Rehearsal{{300}, 40, 3, 7}));
}

TEST(Forecast, ARunByTimeEndsWithItsTimeAndWhatCloses) {
  FakeSession session;
  const Calendar time = calendar({{}, {}, 100'000});
  Forecast forecast(outline_of(session), time, {kCheckpoint, 0.99}, 0, 20'000);
  const double closing = evaluation_ns(session) + kCheckpoint;
  EXPECT_DOUBLE_EQ(forecast.first().run.expected_ns, 80'000 + closing + kStep / 2);
  EXPECT_GT(forecast.first().run.latest_ns, 80'000 + closing + kStep);
  forecast.observe_checkpoint(10);  // a copy
  forecast.observe_flush(1000);
  forecast.observe_evaluation(2000);
  EXPECT_NEAR(forecast.remaining(3, 99'999).expected_ns, 1 + 3000 + kStep / 2, 1);
  EXPECT_NEAR(forecast.remaining(3, 200'000).expected_ns, 3000 + kStep / 2, 1);
}

TEST(Forecast, LatestIsNeverBeforeExpected) {
  FakeSession session(4, 5);
  for (const auto& end : {TrainingEnd{40, {}, {}}, TrainingEnd{{}, {}, 50'000}}) {
    const Calendar any = calendar(end, 3);
    const Forecast forecast(outline_of(session), any, {kCheckpoint, 0.9}, 0, 0);
    EXPECT_LE(forecast.first().run.expected_ns, forecast.first().run.latest_ns);
    for (int step = 0; step <= 40; ++step) {
      const TimeEstimate left = forecast.remaining(step, step * 1000);
      EXPECT_LE(left.expected_ns, left.latest_ns);
    }
  }
}

TEST(Forecast, ADeadlineAloneIsTheEndWithAllThatClosesTheRun) {
  FakeSession session;
  const Calendar deadline = calendar({{}, {}, {}, 100'000});
  const Forecast forecast(outline_of(session), deadline, {kCheckpoint, 0.99}, 0, 0);
  EXPECT_DOUBLE_EQ(forecast.first().run.expected_ns, 100'000);
  EXPECT_DOUBLE_EQ(forecast.first().run.latest_ns, 100'000);
  EXPECT_DOUBLE_EQ(forecast.remaining(7, 30'000).latest_ns, 70'000);
  EXPECT_DOUBLE_EQ(forecast.remaining(7, 130'000).expected_ns, 0);
}

TEST(Forecast, TheLastStepHasTheEvaluationAndTheCheckpointBehindIt) {
  FakeSession session;
  const Calendar steps = calendar({40, {}, {}});
  Forecast forecast(outline_of(session), steps, {kCheckpoint, 0.99}, 0, 0);
  EXPECT_GT(forecast.last_step_ns({}), kStep + evaluation_ns(session) + kCheckpoint);
  EXPECT_LT(forecast.last_step_ns({}), 1.5 * kStep + evaluation_ns(session) + kCheckpoint);
  const double before = forecast.last_step_ns({});
  forecast.observe_evaluation(10'000);
  EXPECT_NEAR(forecast.last_step_ns({}), before - evaluation_ns(session) + 10'000, 1e-6);
  const double alone = forecast.last_step_ns({});
  EXPECT_NEAR(forecast.last_step_ns(0), alone + kCheckpoint, 1e-6) << "the disk has one to write";
  EXPECT_NEAR(forecast.last_step_ns(kCheckpoint / 4), alone + kCheckpoint * 3 / 4, 1e-6);
  EXPECT_EQ(forecast.last_step_ns(2 * kCheckpoint), alone);
}

TEST(RunOutline, CountsTheStepsOfAnEpoch) {
  EXPECT_EQ(outline_of(FakeSession(4)).steps_per_epoch(), 4);
  EXPECT_EQ(outline_of(FakeSession(4, 1)).steps_per_epoch(), 4);
}

}  // namespace
}  // namespace millrace
