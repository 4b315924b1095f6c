#include "controller/rehearsal.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "controller/forecast.hpp"
#include "millrace/errors.hpp"
#include "tests/controller/fake_session.hpp"
#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

class Rehearsed : public ScratchFolder {
 protected:
  RehearsalSettings settings(FakeSession& session, double run_ns) const {
    return {run_ns, scratch_, [&session] { return session.clock_ns; }};
  }
};

TEST_F(Rehearsed, MeasuresStepsAndAnEvaluationAndTrainsNothing) {
  FakeSession session;
  const Rehearsal tried = rehearse(session, settings(session, 100.0 * FakeSession::kStep_ns));
  EXPECT_EQ(tried.steps_ns, std::vector<double>(10, FakeSession::kStep_ns));
  EXPECT_EQ(tried.evaluated_samples, session.validation);
  EXPECT_DOUBLE_EQ(tried.evaluation_ns, FakeSession::kEvaluation_ns);
  EXPECT_EQ(session.rehearsed, 11) << "the first one takes the memory";
  EXPECT_EQ(session.rehearsals_ended, 1);
  EXPECT_EQ(session.trained(), 0);
  EXPECT_TRUE(std::filesystem::is_empty(scratch_)) << "the checkpoint was for its time alone";
}

TEST_F(Rehearsed, TriesSomeStepsOfTheShortestRunAndFullOnesAlone) {
  FakeSession session(2, 5);  // every second step is short
  session.slowness = [&](std::int64_t) { return session.rehearsed % 2 == 0 ? 7.0 : 1.0; };
  const Rehearsal tried = rehearse(session, settings(session, 0));
  EXPECT_EQ(tried.steps_ns, std::vector<double>(2, FakeSession::kStep_ns));
}

TEST_F(Rehearsed, ASetSmallerThanABatchHasNoFullSteps) {
  FakeSession session(1, 5);
  EXPECT_EQ(rehearse(session, settings(session, 0)).steps_ns.size(), 2);
}

TEST_F(Rehearsed, IsEndedWhereAStepFails) {
  FakeSession session;
  session.before_step = [](std::int64_t step) {
    if (step == 1) throw ConfigError("data", "a broken image");
  };
  EXPECT_THROW(rehearse(session, settings(session, 0)), ConfigError);
  EXPECT_EQ(session.rehearsals_ended, 1);
}

TEST_F(Rehearsed, WarmingUpIsOneStep) {
  FakeSession session;
  warm_up(session);
  EXPECT_EQ(session.rehearsed, 1);
  EXPECT_EQ(session.rehearsals_ended, 1);
}

TEST(RehearsalSettings, ATenthOfTheRunIsTriedForTwoSecondsAtMost) {
  EXPECT_DOUBLE_EQ(rehearsed_ns(5e9), 5e8);
  EXPECT_DOUBLE_EQ(rehearsed_ns(5e12), 2e9);
  EXPECT_DOUBLE_EQ(rehearsed_ns(5e12, /*noisy=*/true), 8e9);
}

TEST_F(Rehearsed, GoesOnInNoiseUpToAnEnd) {
  const auto tried_ns = [&](double noise, double run_ns) {
    FakeSession session;
    session.scale(1'000'000);  // steps of 0.72 s
    session.slowness = [&](std::int64_t) { return session.rehearsed % 2 == 0 ? 1 : 1 + noise; };
    const auto steps = rehearse(session, settings(session, run_ns)).steps_ns;
    return std::accumulate(steps.begin(), steps.end(), 0.0);
  };
  EXPECT_LT(tried_ns(0, 3.6e12), 3e9);
  EXPECT_GT(tried_ns(0.8, 3.6e12), 8e9);
  EXPECT_LT(tried_ns(0.8, 3.6e12), 11e9) << "no step begins after it";
  EXPECT_LT(tried_ns(0.8, 20e9), 4e9) << "a tenth of the run";
}

TEST(RehearsalJson, RoundTrips) {
  const Rehearsal rehearsal{{1.5, 2.5}, 3.5, 40, 5.5};
  EXPECT_EQ(rehearsal_from_json(to_json(rehearsal), "a test"), rehearsal);
  EXPECT_THROW(rehearsal_from_json("{}", "a test"), ConfigError);
  EXPECT_THROW(rehearsal_from_json(to_json(Rehearsal{}), "a test"), ConfigError);
}

TEST(RehearsalJson, WhatIsNoTimeIsRefused) {
  for (const Rehearsal& wrong :
       {Rehearsal{{1, -5}, 1, 1, 1}, Rehearsal{{1e300}, 1, 1, 1}, Rehearsal{{1}, 1e300, 1, 1},
        Rehearsal{{1}, 1, -1, 1}, Rehearsal{{1}, 1, 1, 1e300}})
    EXPECT_THROW(rehearsal_from_json(to_json(wrong), "a test"), ConfigError);
}

TEST(WithoutPredictions, TellsPlansApartByWhatTheyDo) {
  FakeSession session;
  Plan faster = session.plan();
  faster.value_ns /= 2;
  faster.memory_bytes += 1;
  faster.stages.front().forward_ns /= 3;
  EXPECT_EQ(without_predictions(faster), without_predictions(session.plan()));
  Plan sliced = session.plan(), as_good = sliced;
  sliced.stages.front().feature_shares = {0.714, 0.286};
  as_good.stages.front().feature_shares = {0.7141, 0.2859};  // by a probe of another moment
  EXPECT_EQ(without_predictions(sliced), without_predictions(as_good));
  Plan other = session.plan();
  other.stages.front().shares.front() += 1;
  EXPECT_NE(without_predictions(other), without_predictions(session.plan()));
}

TEST(ForecastOfARehearsal, IsOfWhatWasMeasured) {
  FakeSession session;
  const Calendar calendar({{.steps = 8}, 4, 1, 0});
  const Rehearsal tried{std::vector<double>(100, 1000), 300, session.validation / 2, 40};
  const Forecast forecast(outline_of(session), calendar, {2000, 0.99, tried}, 0, 0);
  EXPECT_DOUBLE_EQ(forecast.first().step.expected_ns, 1000);
  const double evaluations = 2 * 600, saving = 2 * 40, flush = 2000;
  // Epochs' checkpoints, one of which is the last: a copy each, and the disk waited for once.
  EXPECT_DOUBLE_EQ(forecast.first().run.expected_ns, 8 * 1000 + evaluations + saving + flush);
  EXPECT_DOUBLE_EQ(forecast.remaining(0, 0).expected_ns, forecast.first().run.expected_ns);
}

TEST(ForecastOfARehearsal, ShorterStepsAreInProportion) {
  FakeSession session(4, 8);
  session.validation = 0;
  const Calendar calendar({{.epochs = 1}, 4, 0, 0});
  const Forecast guess(outline_of(session), calendar, {0, 0.99}, 0, 0);
  const Rehearsal tried{std::vector<double>(100, 2.0 * FakeSession::kStep_ns)};
  const Forecast forecast(outline_of(session), calendar, {0, 0.99, tried}, 0, 0);
  EXPECT_DOUBLE_EQ(forecast.first().run.expected_ns, 2 * guess.first().run.expected_ns);
}

}  // namespace
}  // namespace millrace
