#include "controller/training_run.hpp"

#include <gmock/gmock.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "tests/controller/fake_session.hpp"
#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class TrainingRunTest : public ScratchFolder {
 protected:
  TrainingResult run(const TrainingSettings& settings) {
    return run_training(session_, folder_, settings, observer_);
  }
  CheckpointFolder checkpoints() const { return CheckpointFolder(folder_.checkpoints()); }
  std::vector<json> metrics(const std::string& kind) const {
    std::vector<json> result;
    std::istringstream stream(read_file(folder_.metrics(), "test"));
    for (std::string text; std::getline(stream, text);) {
      const json line = json::parse(text);
      if (line.at("kind") == kind) result.push_back(line);
    }
    return result;
  }

  FakeSession session_{4};
  RunFolder folder_ = RunFolder::create(scratch_ / "run", false);
  RecordingObserver observer_;
};

TEST_F(TrainingRunTest, EndsAfterTheSteps) {
  const TrainingResult result = run(fake_settings(session_, 6));
  EXPECT_EQ(result.outcome, TrainingOutcome::finished);
  EXPECT_EQ(result.steps, 6);
  EXPECT_EQ(result.steps_here, 6);
  EXPECT_EQ(observer_.steps.size(), 6u);
  EXPECT_DOUBLE_EQ(observer_.steps[2].fraction, 0.5);
  EXPECT_EQ(observer_.steps[5].epoch, 1);
}

TEST_F(TrainingRunTest, EndsAfterTheEpochs) {
  TrainingSettings settings = fake_settings(session_, 0);
  settings.end = {{}, 3, {}};
  EXPECT_EQ(run(settings).steps, 12);
}

/// Better until step 8, of four steps an epoch.
double best_at_step_8(std::int64_t step) { return step <= 8 ? 0.01 * double(step) : 0.08; }

TrainingSettings patient_settings(FakeSession& session) {
  TrainingSettings settings = fake_settings(session, 0);
  settings.end = {{}, 20, {}};
  settings.patience = 2;
  return settings;
}

TEST_F(TrainingRunTest, EndsWhenItsPatienceIs) {
  session_.accuracy_at = best_at_step_8;
  const TrainingResult result = run(patient_settings(session_));
  EXPECT_EQ(result.outcome, TrainingOutcome::finished);
  EXPECT_EQ(result.steps, 16);
  EXPECT_THAT(session_.evaluations, ElementsAre(4, 8, 12, 16));
  EXPECT_FALSE(result.error_percent) << "the estimate was of all epochs";
  EXPECT_EQ(checkpoints().steps().back(), 16);
}

TEST_F(TrainingRunTest, PatienceCountsWhatWasEvaluatedBeforeAResume) {
  session_.accuracy_at = best_at_step_8;
  session_.before_step = [](std::int64_t step) {
    if (step == 13) std::raise(SIGTERM);
  };
  EXPECT_EQ(run(patient_settings(session_)).outcome, TrainingOutcome::terminated);
  FakeSession again{4};
  again.accuracy_at = best_at_step_8;
  TrainingSettings settings = patient_settings(again);
  settings.resume = true;
  EXPECT_EQ(run_training(again, folder_, settings, observer_).steps, 16);
  EXPECT_EQ(run_training(again, folder_, settings, observer_).steps_here, 0) << "nothing is left";
}

TEST_F(TrainingRunTest, PatienceNeedsEvaluations) {
  TrainingSettings settings = patient_settings(session_);
  settings.evaluate_every_epochs = 0;
  EXPECT_THROW(run(settings), ConfigError);
  session_.validation = 0;
  EXPECT_THROW(run(patient_settings(session_)), ConfigError);
}

TEST_F(TrainingRunTest, EndsWhenTheTimeIsOver) {
  TrainingSettings settings = fake_settings(session_, 0);
  session_.validation = 0;
  settings.end = {{}, {}, 5 * FakeSession::kStep_ns + 1};
  EXPECT_EQ(run(settings).steps, 6);
  EXPECT_FALSE(observer_.steps.back().last_step.has_value());
}

// Long beside what the probe of the disk says of a checkpoint, which no fake clock knows.
constexpr std::int64_t kDeadline_ns = 1000 * FakeSession::kStep_ns;

TEST_F(TrainingRunTest, EndsInTimeForItsDeadline) {
  FakeSession session{100};
  TrainingSettings settings = fake_settings(session, 10'000);
  settings.end.deadline_ns = kDeadline_ns;
  const TrainingResult result = run_training(session, folder_, settings, observer_);
  EXPECT_EQ(result.outcome, TrainingOutcome::finished);
  EXPECT_TRUE(result.reached_deadline);
  EXPECT_FALSE(result.error_percent) << "the estimate was of all steps";
  EXPECT_LE(session.clock_ns, kDeadline_ns) << "evaluation and checkpoint included";
  EXPECT_GT(session.clock_ns, kDeadline_ns - 3 * FakeSession::kStep_ns);
  EXPECT_EQ(session.evaluations.back(), result.steps);
  EXPECT_EQ(checkpoints().steps().back(), result.steps);
  EXPECT_EQ(observer_.steps.back().deadline_ns, kDeadline_ns);
}

TEST_F(TrainingRunTest, ADeadlineThatIsFarChangesNothing) {
  TrainingSettings settings = fake_settings(session_, 6);
  settings.end.deadline_ns = 1'000'000'000;
  testing::internal::CaptureStderr();
  const TrainingResult result = run(settings);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), Not(HasSubstr("deadline")));
  EXPECT_EQ(result.steps, 6);
  EXPECT_FALSE(result.reached_deadline);
  EXPECT_TRUE(result.error_percent.has_value());
}

TEST_F(TrainingRunTest, EndsByADeadlineAlone) {
  FakeSession session{100};
  session.validation = 0;
  TrainingSettings settings = fake_settings(session, 0);
  settings.end = {{}, {}, {}, kDeadline_ns};
  testing::internal::CaptureStderr();
  const TrainingResult result = run_training(session, folder_, settings, observer_);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), Not(HasSubstr("missed")));
  EXPECT_TRUE(result.reached_deadline);
  EXPECT_EQ(result.steps, 999) << "the latest time of another step is too long";
  EXPECT_NEAR(observer_.steps.back().fraction, 0.999, 1e-9);
}

TEST_F(TrainingRunTest, ADeadlineWithoutTimeForAStepLeavesACheckpoint) {
  TrainingSettings settings = fake_settings(session_, 100);
  settings.end.deadline_ns = 1;
  EXPECT_EQ(run(settings).steps, 0);
  EXPECT_THAT(checkpoints().steps(), ElementsAre(0));
}

TEST_F(TrainingRunTest, TheTimeBeforeAResumeCountsForTheDeadline) {
  const auto train = [&](std::int64_t deadline_ns, bool resume) {
    FakeSession session{100};
    session.validation = 0;
    TrainingSettings settings = fake_settings(session, 10'000);
    settings.end.deadline_ns = deadline_ns;
    settings.resume = resume;
    return run_training(session, folder_, settings, observer_).steps_here;
  };
  EXPECT_EQ(train(kDeadline_ns, false), 999);
  EXPECT_EQ(train(2 * kDeadline_ns, true), 1000);
}

TEST_F(TrainingRunTest, EvaluatesAtEachEpochsEndAndAtTheEnd) {
  const TrainingResult result = run(fake_settings(session_, 10));
  EXPECT_THAT(session_.evaluations, ElementsAre(4, 8, 10));
  EXPECT_THAT(observer_.evaluated_steps, ElementsAre(4, 8, 10));
  ASSERT_TRUE(result.evaluation.has_value());
  EXPECT_DOUBLE_EQ(result.evaluation->accuracy, 1 - 1.0 / 12);
  EXPECT_EQ(result.evaluation->wall_ns, FakeSession::kEvaluation_ns);
}

TEST_F(TrainingRunTest, EvaluatesAsSeldomAsAskedAndNeverWithoutSamples) {
  TrainingSettings settings = fake_settings(session_, 17);
  settings.evaluate_every_epochs = 2;
  run(settings);
  EXPECT_THAT(session_.evaluations, ElementsAre(8, 16, 17));
  session_.evaluations.clear();
  session_.validation = 0;
  EXPECT_FALSE(run(settings).evaluation.has_value());
  EXPECT_THAT(session_.evaluations, IsEmpty());
}

TEST_F(TrainingRunTest, SavesAtEpochsEveryNStepsAndAtTheEnd) {
  TrainingSettings settings = fake_settings(session_, 10);
  settings.checkpoint_every_steps = 3;
  settings.checkpoint_keep = 100;
  run(settings);
  EXPECT_THAT(observer_.saved_steps, ElementsAre(3, 4, 6, 8, 9, 10));
  EXPECT_EQ(checkpoints().steps(), observer_.saved_steps);
  EXPECT_EQ(checkpoints().open("4").info.accuracy, 1 - 1.0 / 6);
  EXPECT_EQ(checkpoints().open("6").info.accuracy, std::nullopt);
}

TEST_F(TrainingRunTest, EpochsAreSavedWhileThatTakesATenthOfTheTime) {
  TrainingSettings settings = fake_settings(session_, 400);
  session_.validation = 0;
  // The state is asked for twice per run before the first step, then once per checkpoint.
  session_.on_state = [&] { session_.clock_ns += session_.trained() > 0 ? 4000 : 0; };
  settings.checkpoint_every_steps = 0;
  run(settings);
  const double saving = 4000.0 * static_cast<double>(observer_.saved_steps.size());
  EXPECT_LE(saving, 0.13 * static_cast<double>(session_.clock_ns));
  EXPECT_EQ(observer_.saved_steps.front(), 4);
  EXPECT_EQ(observer_.saved_steps.back(), 400);
  EXPECT_GE(observer_.saved_steps.size(), 5u);
}

TEST_F(TrainingRunTest, CheckpointsSayWhatTheTrainingIs) {
  TrainingSettings settings = fake_settings(session_, 2);
  settings.facts = {"fake", 99, {"a", "b"}, {0.5}, {0.25}, "{}"};
  run(settings);
  const CheckpointInfo info = checkpoints().open("last").info;
  EXPECT_EQ(info.facts, settings.facts);
  EXPECT_EQ(info.step, 2);
  EXPECT_EQ(info.trained_ns, 2 * FakeSession::kStep_ns + FakeSession::kEvaluation_ns);
}

TEST_F(TrainingRunTest, WritesMetricsOfEachInterval) {
  TrainingSettings settings = fake_settings(session_, 8);
  settings.metrics_every_steps = 2;
  settings.learning_rate = 0.1;
  settings.learning_rate_schedule.name = "step";
  settings.learning_rate_schedule.step_size = 4;
  settings.learning_rate_schedule.gamma = 0.5;
  run(settings);
  const auto steps = metrics("step");
  ASSERT_EQ(steps.size(), 4u);
  EXPECT_EQ(steps[0].at("step"), 2);
  EXPECT_DOUBLE_EQ(steps[0].at("loss"), (2.0 / 1 + 2.0 / 2) / 2);
  EXPECT_NEAR(steps[0].at("images_per_second"), 16e9 / FakeSession::kStep_ns, 1);
  EXPECT_DOUBLE_EQ(steps[0].at("learning_rate"), 0.1);
  EXPECT_DOUBLE_EQ(steps[2].at("learning_rate"), 0.05);
  EXPECT_EQ(steps[2].at("epoch"), 1);
  EXPECT_EQ(steps[1].at("wall_ns"), 4 * FakeSession::kStep_ns);
  EXPECT_GT(steps[0].at("remaining").at("expected_ns"), steps[3].at("remaining").at("expected_ns"));
  EXPECT_EQ(metrics("evaluation").size(), 2u);
}

TEST_F(TrainingRunTest, TracesTheLastSteps) {
  TrainingSettings settings = fake_settings(session_, 10);
  settings.trace_steps = 2;
  run(settings);
  std::vector<std::string> names;
  const json trace = json::parse(read_file(folder_.trace(), "test"));
  for (const json& event : trace.at("traceEvents")) {
    if (event.value("cat", "") == "step") names.push_back(event.at("name"));
  }
  EXPECT_THAT(names, ElementsAre("step 8", "step 9"));
}

TEST_F(TrainingRunTest, WithoutTracedStepsThereIsNoTrace) {
  TrainingSettings settings = fake_settings(session_, 2);
  settings.trace_steps = 0;
  run(settings);
  EXPECT_FALSE(std::filesystem::exists(folder_.trace()));
}

TEST_F(TrainingRunTest, ComparesTheEstimateWithWhatWasMeasured) {
  session_.validation = 0;
  const TrainingResult result = run(fake_settings(session_, 100));
  EXPECT_DOUBLE_EQ(result.measured_ns, 100 * FakeSession::kStep_ns);
  EXPECT_EQ(result.first_expected_ns, observer_.first.run.expected_ns);
  EXPECT_GT(result.first_latest_ns, result.first_expected_ns);
  EXPECT_DOUBLE_EQ(
      result.error_percent.value(),
      100 * std::abs(result.first_expected_ns - result.measured_ns) / result.measured_ns);
  EXPECT_NEAR(result.images_per_second, 16e9 / FakeSession::kStep_ns, 1);
  EXPECT_GT(result.loss.value(), 0);
  EXPECT_EQ(result.loader.waits, 3);
  EXPECT_EQ(result.loader.wait_ns, 40);
  EXPECT_EQ(result.loader.disk_waits, 1);
  EXPECT_EQ(result.loader.disk_wait_ns, 5);
  EXPECT_EQ(result.skipped_images, 5);
}

class TrainingRunStops : public TrainingRunTest, public testing::WithParamInterface<int> {};

TEST_P(TrainingRunStops, AfterTheStepWithACheckpoint) {
  session_.before_step = [](std::int64_t step) {
    if (step == 5) std::raise(GetParam());
  };
  const TrainingResult result = run(fake_settings(session_, 100));
  EXPECT_EQ(result.outcome,
            GetParam() == SIGINT ? TrainingOutcome::interrupted : TrainingOutcome::terminated);
  EXPECT_EQ(result.steps, 6);
  EXPECT_FALSE(result.error_percent.has_value());
  EXPECT_EQ(checkpoints().open("last").info.step, 6);
  EXPECT_THAT(session_.evaluations, ElementsAre(4)) << "nothing long is begun";
}

INSTANTIATE_TEST_SUITE_P(Signals, TrainingRunStops, testing::Values(SIGINT, SIGTERM));

TEST_F(TrainingRunTest, AStopAmidAnEvaluationIsHeardAtOnce) {
  session_.accuracy_at = [](std::int64_t step) {
    if (step == 4) std::raise(SIGTERM);
    return 0.5;
  };
  const TrainingResult result = run(fake_settings(session_, 10));
  EXPECT_EQ(result.outcome, TrainingOutcome::terminated);
  EXPECT_FALSE(result.evaluation.has_value()) << "of a part of the data";
  EXPECT_EQ(checkpoints().open("last").info.step, 4);
  EXPECT_FALSE(checkpoints().open("last").info.accuracy.has_value());
  session_.accuracy_at = {};
  session_.evaluations.clear();
  TrainingSettings settings = fake_settings(session_, 10);
  settings.resume = true;
  run(settings);
  EXPECT_THAT(session_.evaluations, ElementsAre(4, 8, 10));
}

TEST_F(TrainingRunTest, ASignalInTheLastStepStillGetsItsEvaluation) {
  session_.before_step = [](std::int64_t step) {
    if (step == 5) std::raise(SIGINT);
  };
  const TrainingResult result = run(fake_settings(session_, 6));
  EXPECT_EQ(result.outcome, TrainingOutcome::finished);
  EXPECT_THAT(session_.evaluations, ElementsAre(4, 6));
}

TEST_F(TrainingRunTest, ADivergedStepEndsTheRunAndKeepsTheLastGoodCheckpoint) {
  session_.diverges_at = 5;
  TrainingSettings settings = fake_settings(session_, 10);
  settings.checkpoint_every_steps = 4;
  EXPECT_THROW(run(settings), ConfigError);
  EXPECT_EQ(checkpoints().open("last").info.step, 4);
}

TEST_F(TrainingRunTest, AResumeRefusesAnEndThatIsPassed) {
  run(fake_settings(session_, 6));
  TrainingSettings settings = fake_settings(session_, 3);
  settings.resume = true;
  EXPECT_THROW(run(settings), ConfigError);
  EXPECT_EQ(checkpoints().open("last").info.step, 6);
}

TEST_F(TrainingRunTest, SavesOnHangUpAndGoesOn) {
  session_.before_step = [](std::int64_t step) {
    if (step == 1) std::raise(SIGHUP);
  };
  EXPECT_EQ(run(fake_settings(session_, 3)).outcome, TrainingOutcome::finished);
  EXPECT_THAT(observer_.saved_steps, ElementsAre(2, 3));
}

TEST_F(TrainingRunTest, PassesErrorsOnAndKeepsTheLastGoodCheckpoint) {
  session_.before_step = [](std::int64_t step) {
    if (step == 6) throw DeviceError("execute", "a core went away");
  };
  TrainingSettings settings = fake_settings(session_, 10);
  settings.checkpoint_every_steps = 5;
  EXPECT_THROW(run(settings), DeviceError);
  EXPECT_EQ(checkpoints().open("last").info.step, 6);
  EXPECT_EQ(metrics("step").size(), 6u);
  EXPECT_NE(std::signal(SIGINT, SIG_DFL), SIG_ERR);
}

TEST_F(TrainingRunTest, AFullDiskEndsTheRunAndKeepsTheLastGoodCheckpoint) {
  TrainingSettings settings = fake_settings(session_, 10);
  settings.checkpoint_every_steps = 2;
  std::optional<FullDisk> full;
  session_.before_step = [&](std::int64_t step) {
    // Large enough for the metrics, too small for a checkpoint.
    if (step == 3) full.emplace(3500);
  };
  EXPECT_THROW(run(settings), ResourceError);
  full.reset();
  EXPECT_EQ(checkpoints().open("last").info.step, 2);
}

TEST_F(TrainingRunTest, RefusesSettingsThatMakeNoRun) {
  EXPECT_THROW(run(fake_settings(session_, 0)), ConfigError);
  TrainingSettings settings = fake_settings(session_, 1);
  settings.end.epochs = 1;
  EXPECT_THROW(run(settings), ConfigError);
  EXPECT_THAT(observer_.steps, IsEmpty());
}

}  // namespace
}  // namespace millrace
