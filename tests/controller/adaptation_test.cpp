#include "controller/adaptation.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <sstream>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "tests/controller/fake_session.hpp"
#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::IsEmpty;

/// Steps of 0.36 s, so that three fill the watch's window; they are 2.5 times as long from step 10
/// on, and 1.5 times under a plan that was taken.
class AdaptationTest : public ScratchFolder {
 protected:
  AdaptationTest() { prepare(session_); }

  void prepare(FakeSession& session) const {
    session.scale(500'000);
    session.slowness = [&session](std::int64_t step) {
      if (!session.taken.empty()) return 1.5;
      return step < 10 ? 1.0 : 2.5;
    };
    session.offers = [&session, costs = session.profile()] { return offer(session, costs, 1.5); };
  }
  /// A plan whose steps are `factor` times as long as those of `costs`.
  static PlanOffer offer(const FakeSession& session, const Profile& costs, double factor) {
    PlanOffer offer{session.plan(), longer(costs, factor), {{0, 1.0}, {1, 0.4}}};
    std::swap(offer.plan.stages[0].devices, offer.plan.stages[1].devices);  // another plan
    return offer;
  }
  TrainingSettings settings(std::int64_t steps) {
    TrainingSettings settings = fake_settings(session_, steps);
    settings.evaluate_every_epochs = 0;
    settings.checkpoint_every_steps = 0;
    return settings;
  }
  TrainingResult run(const TrainingSettings& settings) {
    return run_training(session_, folder_, settings, observer_);
  }
  std::vector<std::int64_t> taken_steps() const {
    std::vector<std::int64_t> steps;
    for (const auto& [step, plan] : session_.taken) steps.push_back(step);
    return steps;
  }

  FakeSession session_{1000};
  RunFolder folder_ = RunFolder::create(scratch_ / "run", false);
  RecordingObserver observer_;
};

TEST_F(AdaptationTest, TakesAPlanThatPaysAndSaysSo) {
  const TrainingResult result = run(settings(100));
  EXPECT_THAT(taken_steps(), ElementsAre(13)) << "the first window of slow steps is full";
  EXPECT_EQ(result.plan_changes, 1);
  EXPECT_THAT(TakenPlans(folder_.plans()).steps(), ElementsAre(13));
  const std::string metrics = read_file(folder_.metrics(), "test");
  const auto line = metrics.find(R"("kind":"plan")");
  ASSERT_NE(line, std::string::npos);
  const auto begin = metrics.rfind('\n', line) + 1;
  const json change = json::parse(metrics.substr(begin, metrics.find('\n', line) - begin));
  EXPECT_EQ(change.at("step"), 13);
  EXPECT_EQ(change.at("reason"), "CPU 1 at 40 %");
  EXPECT_DOUBLE_EQ(change.at("step_ns"), 2.5 * 360e6);
  EXPECT_NEAR(change.at("expected_step_ns"), 1.5 * 360e6, 1);
}

TEST_F(AdaptationTest, TheEstimateFollowsThePlan) {
  run(settings(100));
  EXPECT_NEAR(observer_.steps[12].remaining.expected_ns, 87 * 1.5 * 360e6, 0.02 * 87 * 1.5 * 360e6);
}

TEST_F(AdaptationTest, KeepsThePlanWhereNoneIsMuchBetter) {
  session_.offers = [this, costs = session_.profile()] { return offer(session_, costs, 2.4); };
  run(settings(100));
  EXPECT_THAT(taken_steps(), IsEmpty());
  EXPECT_THAT(TakenPlans(folder_.plans()).steps(), IsEmpty());
}

TEST_F(AdaptationTest, KeepsThePlanNearTheEnd) {
  run(settings(16));
  EXPECT_THAT(taken_steps(), IsEmpty()) << "three steps cannot earn it back";
}

TEST_F(AdaptationTest, NeverWhereItIsNotWanted) {
  TrainingSettings never = settings(100);
  never.replans = false;
  session_.offers = []() -> std::optional<PlanOffer> { throw std::logic_error("asked"); };
  run(never);
  EXPECT_THAT(taken_steps(), IsEmpty());
}

TEST_F(AdaptationTest, GoesOnWhereNothingCanBeSaid) {
  session_.offers = [] { return std::nullopt; };
  EXPECT_EQ(run(settings(100)).steps, 100);
  session_.offers = []() -> std::optional<PlanOffer> {
    throw NoPlanError("plan", "needs more memory");
  };
  TrainingSettings again = settings(200);
  again.resume = true;
  EXPECT_EQ(run(again).steps, 200);
}

TEST_F(AdaptationTest, DoesNotFlap) {
  // The machine changes every ten steps, whatever is done.
  session_.slowness = [](std::int64_t step) { return step / 10 % 2 == 0 ? 1.0 : 2.5; };
  int asked = 0;
  session_.offers = [&, costs = session_.profile()] {
    ++asked;
    return offer(session_, costs, 1);
  };
  run(settings(1000));
  EXPECT_GE(asked, 3);
  EXPECT_LE(asked, 12) << "each try doubles the time to the next: 630 s of training";
}

TEST_F(AdaptationTest, RefusalsBeforeAChangeDoNotDelayTheNextOne) {
  // It becomes slower thrice, which a plan mends at last; at step 100 it recovers.
  session_.slowness = [this](std::int64_t step) {
    if (session_.taken.size() == 2) return 0.8;
    if (session_.taken.size() == 1) return step < 100 ? 1.5 : 1.1;
    return step < 10 ? 1.0 : step < 40 ? 1.3 : step < 80 ? 1.7 : 2.5;
  };
  session_.offers = [this, costs = session_.profile()] {
    if (session_.taken.size() == 1) return offer(session_, costs, 0.8);
    return offer(session_, costs, session_.trained() < 80 ? 1.7 : 1.5);
  };
  run(settings(200));
  EXPECT_THAT(taken_steps(), ElementsAre(::testing::Le(84), ::testing::Le(106)));
}

TEST_F(AdaptationTest, LooksForCoresThatNobodyUses) {
  session_.slowness = [](std::int64_t) { return 1.0; };
  Plan one_core = session_.plan();
  Profile costs = session_.profile();
  costs.kinds.front().count += 1;
  session_.take_plan(one_core, costs);
  session_.taken.clear();
  int asked = 0;
  session_.offers = [&] {
    ++asked;
    return offer(session_, costs, 0.5);
  };
  run(settings(70));
  EXPECT_EQ(asked, 1) << "after 20 s";
  EXPECT_EQ(taken_steps().size(), 1u);
}

TEST_F(AdaptationTest, ThePlanInForceIsNotTakenAgain) {
  session_.offers = [this, costs = session_.profile()] {  // a slow disk: the cores are as they were
    return PlanOffer{session_.plan(), costs, {{0, 1.0}, {1, 1.0}}};
  };
  EXPECT_EQ(run(settings(100)).plan_changes, 0);
}

TEST_F(AdaptationTest, AnIdleCoreDoesNotHideADrift) {
  Profile costs = session_.profile();
  costs.kinds.front().count += 1;
  session_.take_plan(session_.plan(), costs);
  session_.taken.clear();
  std::vector<std::int64_t> asked;
  session_.slowness = [](std::int64_t step) { return step < 1000 ? 1.0 : 2.5; };
  session_.offers = [&] {
    asked.push_back(session_.trained());
    return PlanOffer{session_.plan(), costs, {}};
  };
  run(settings(1020));
  EXPECT_EQ(asked.back(), 1003) << "the first window of slow steps";
  EXPECT_LE(asked.size(), 6u) << "idle cores are looked after ever more seldom";
}

TEST_F(AdaptationTest, AfterARefusalTheNextDriftIsJudgedByThePlansOwnFirstSteps) {
  // All cores slow down, which no plan mends; then one recovers, which another plan would use.
  session_.slowness = [this](std::int64_t step) {
    if (!session_.taken.empty()) return 1.0;
    return step < 10 ? 1.0 : step < 100 ? 2.0 : 1.4;
  };
  session_.offers = [this, costs = session_.profile()] {
    return offer(session_, costs, session_.trained() < 100 ? 1.95 : 1.0);
  };
  run(settings(300));
  ASSERT_EQ(session_.taken.size(), 1u);
  EXPECT_GT(session_.taken[0].first, 100);
}

TEST_F(AdaptationTest, AResumedRunLooksAtTheMachineOnce) {
  session_.slowness = [](std::int64_t) { return 1.0; };
  int asked = 0;
  session_.offers = [&, costs = session_.profile()] {
    ++asked;
    return offer(session_, costs, 0.5);
  };
  run(settings(20));
  EXPECT_EQ(asked, 0);
  TrainingSettings resumed = settings(60);
  resumed.resume = true;
  EXPECT_EQ(run(resumed).plan_changes, 1);
}

TEST_F(AdaptationTest, ANewRunLooksAtTheMachineWhereItsCostsAreDoubted) {
  session_.slowness = [](std::int64_t) { return 2.5; };  // since before the first step
  TrainingSettings certain = settings(60);
  EXPECT_EQ(run(certain).plan_changes, 0);
  folder_ = RunFolder::create(scratch_ / "doubted", false);
  prepare(session_);
  session_.slowness = [this](std::int64_t) { return session_.taken.empty() ? 2.5 : 1.5; };
  TrainingSettings doubted = settings(60);
  doubted.doubted = true;
  EXPECT_EQ(run(doubted).plan_changes, 1);
}

/// The costs of then are wrong by as much for the plan in force as for the offer.
TEST_F(AdaptationTest, AResumedRunKeepsAPlanWhoseStepsAllTakeLongerThanPredicted) {
  session_.slowness = [](std::int64_t) { return 1.15; };
  session_.offers = [&, costs = session_.profile()] { return offer(session_, costs, 1); };
  run(settings(20));
  TrainingSettings resumed = settings(60);
  resumed.resume = true;
  EXPECT_EQ(run(resumed).plan_changes, 0);
}

TEST_F(AdaptationTest, ADoubtThatChangedNothingDoesNotHinderALaterPlan) {
  session_.slowness = [this](std::int64_t step) {
    return session_.taken.empty() && step < 60 ? 2.5 : 1.9;
  };
  session_.offers = [this, costs = session_.profile(), asked = 0]() mutable {
    return offer(session_, costs, ++asked == 1 ? 2.5 : 1.4);
  };
  TrainingSettings doubted = settings(200);
  doubted.doubted = true;
  EXPECT_EQ(run(doubted).plan_changes, 1);
}

TEST_F(AdaptationTest, APlanThatCannotBeTakenIsForgotten) {
  session_.cannot_take = true;
  EXPECT_EQ(run(settings(100)).steps, 100) << "under the plan in force";
  EXPECT_THAT(TakenPlans(folder_.plans()).steps(), IsEmpty());
}

TEST_F(AdaptationTest, AResumedRunTakesThePlansAtTheSameSteps) {
  run(settings(100));
  const std::vector<float> weights = session_.weights();
  CheckpointFolder(folder_.checkpoints()).set_aside_after(0);

  FakeSession again{1000};
  prepare(again);
  again.offers = []() -> std::optional<PlanOffer> { throw std::logic_error("asked too early"); };
  TrainingSettings resumed = fake_settings(again, 14);
  resumed.resume = true;
  run_training(again, folder_, resumed, observer_);
  ASSERT_EQ(again.taken.size(), 1u);
  EXPECT_EQ(again.taken[0].first, 13);
  EXPECT_EQ(again.taken[0].second, session_.taken[0].second);
}

TEST_F(AdaptationTest, KilledAmidAChangeOfPlansItGoesOnAsIfItNeverWas) {
  run(settings(100));
  const RunFolder folder = RunFolder::create(scratch_ / "killed", false);
  const auto run_in = [&](FakeSession& session, bool resume) {
    TrainingSettings settings = fake_settings(session, 100);
    settings.checkpoint_every_steps = 3;
    settings.resume = resume;
    run_training(session, folder, settings, observer_);
  };
  FakeSession killed{1000}, again{1000};
  prepare(killed);
  prepare(again);
  killed.on_take = [&] {
    const auto file = CheckpointFolder(folder.checkpoints()).path_of(12);
    for (int i = 0; i < 100'000 && !std::filesystem::exists(file); ++i) ::usleep(100);
    ::kill(::getpid(), SIGKILL);
  };
  EXPECT_EXIT(run_in(killed, false), ::testing::KilledBySignal(SIGKILL), "");
  EXPECT_THAT(TakenPlans(folder.plans()).steps(), ElementsAre(13));
  run_in(again, true);
  EXPECT_EQ(observer_.start.step, 12);
  EXPECT_EQ(again.weights(), session_.weights());
  EXPECT_EQ(again.momentum(), session_.momentum());
  EXPECT_EQ(again.taken, session_.taken);
}

TEST_F(AdaptationTest, ABrokenRecordIsPassedOver) {
  run(settings(100));
  CheckpointFolder(folder_.checkpoints()).set_aside_after(0);
  write_file_atomically(TakenPlans(folder_.plans()).files_of(13).plan, "{", "test");
  FakeSession again{1000};
  prepare(again);
  TrainingSettings resumed = fake_settings(again, 15);
  resumed.resume = true;
  EXPECT_EQ(run_training(again, folder_, resumed, observer_).plan_changes, 0);
}

}  // namespace
}  // namespace millrace
