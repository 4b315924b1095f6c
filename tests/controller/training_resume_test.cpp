#include <gmock/gmock.h>
#include <sys/wait.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "controller/training_run.hpp"
#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "tests/controller/fake_session.hpp"
#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

constexpr std::int64_t kSteps = 23;  // epochs of 4: the last one is incomplete

/// A run that is never stopped, to compare with.
struct Uninterrupted {
  explicit Uninterrupted(const fs::path& path) : folder(RunFolder::create(path, false)) {
    RecordingObserver observer;
    run_training(session, folder, fake_settings(session, kSteps), observer);
  }
  FakeSession session{4, 9};
  RunFolder folder;
};

/// The lines without what depends on when the run was measured.
std::vector<nlohmann::json> timeless(const fs::path& metrics) {
  std::vector<nlohmann::json> lines;
  std::istringstream stream(read_file(metrics, "test"));
  for (std::string text; std::getline(stream, text);) {
    lines.push_back(nlohmann::json::parse(text));
    lines.back().erase("remaining");
  }
  return lines;
}

class TrainingResumeTest : public ScratchFolder {
 protected:
  static TrainingSettings settings_of(FakeSession& session, bool resume) {
    TrainingSettings settings = fake_settings(session, kSteps);
    settings.checkpoint_every_steps = 3;
    settings.resume = resume;
    return settings;
  }
  TrainingResult resume(FakeSession& session) {
    observer_ = {};
    return run_training(session, folder_, settings_of(session, true), observer_);
  }
  void expect_as_if_never_stopped(const FakeSession& session) const {
    EXPECT_EQ(session.weights(), reference_.session.weights());
    EXPECT_EQ(session.momentum(), reference_.session.momentum());
    EXPECT_EQ(timeless(folder_.metrics()), timeless(reference_.folder.metrics()));
    const CheckpointFolder here(folder_.checkpoints());
    const CheckpointFolder there(reference_.folder.checkpoints());
    EXPECT_EQ(here.open("last").info, there.open("last").info);
    for (const auto& entry : fs::directory_iterator(folder_.checkpoints())) {
      EXPECT_NE(entry.path().extension(), ".tmp");
    }
  }

  Uninterrupted reference_{scratch_ / "reference"};
  RunFolder folder_ = RunFolder::create(scratch_ / "run", false);
  RecordingObserver observer_;
};

// In the first step, at a checkpoint, at an epoch's end, between, at both, in the last step but
// one.
TEST_F(TrainingResumeTest, StoppedAnywhereTheResultIsTheSame) {
  for (const std::int64_t stop : {0, 2, 3, 9, 11, 19, 21}) {
    SCOPED_TRACE(stop);
    fs::remove_all(folder_.checkpoints());
    fs::remove(folder_.metrics());
    FakeSession first{4, 9};
    first.before_step = [&](std::int64_t step) {
      if (step == stop) std::raise(SIGINT);
    };
    RecordingObserver observer;
    const auto stopped = run_training(first, folder_, settings_of(first, false), observer);
    EXPECT_EQ(stopped.steps, stop + 1);
    FakeSession second{4, 9};
    const TrainingResult result = resume(second);
    EXPECT_EQ(observer_.start.step, stop + 1);
    EXPECT_EQ(result.steps, kSteps);
    EXPECT_EQ(result.steps_here, kSteps - stop - 1);
    expect_as_if_never_stopped(second);
  }
}

TEST_F(TrainingResumeTest, StoppedByAnErrorItGoesOnAtTheCheckpoint) {
  FakeSession first{4, 9};
  first.before_step = [](std::int64_t step) {
    if (step == 14) throw ConfigError("batch", "fault");
  };
  RecordingObserver observer;
  EXPECT_THROW(run_training(first, folder_, settings_of(first, false), observer), ConfigError);
  FakeSession second{4, 9};
  resume(second);
  EXPECT_EQ(observer_.start.step, 14);
  expect_as_if_never_stopped(second);
}

TEST_F(TrainingResumeTest, AFinishedRunHasNothingLeft) {
  FakeSession first{4, 9};
  RecordingObserver observer;
  run_training(first, folder_, settings_of(first, false), observer);
  const std::string before = read_file(folder_.metrics(), "test");
  FakeSession second{4, 9};
  const TrainingResult result = resume(second);
  EXPECT_EQ(result.steps, kSteps);
  EXPECT_EQ(result.steps_here, 0);
  EXPECT_FALSE(result.loss.has_value());
  ASSERT_TRUE(result.evaluation.has_value());
  EXPECT_DOUBLE_EQ(result.evaluation->accuracy, 1 - 1.0 / (kSteps + 2));
  EXPECT_THAT(observer_.saved_steps, ElementsAre());
  EXPECT_EQ(read_file(folder_.metrics(), "test"), before);
}

TEST_F(TrainingResumeTest, ADamagedCheckpointIsPassedOver) {
  FakeSession first{4, 9};
  RecordingObserver observer;
  run_training(first, folder_, settings_of(first, false), observer);
  const CheckpointFolder checkpoints(folder_.checkpoints());
  fs::resize_file(checkpoints.path_of(kSteps), 500);
  FakeSession second{4, 9};
  resume(second);
  EXPECT_LT(observer_.start.step, kSteps);
  EXPECT_GT(observer_.start.step, 0);
  expect_as_if_never_stopped(second);
}

TEST_F(TrainingResumeTest, WithoutAnyCheckpointItStartsAgain) {
  FakeSession session{4, 9};
  resume(session);
  EXPECT_EQ(observer_.start.step, 0);
  expect_as_if_never_stopped(session);
}

TEST_F(TrainingResumeTest, DamagedCheckpointsAreSetAsideAndPushOutNoNewOnes) {
  const CheckpointFolder checkpoints(folder_.checkpoints());
  checkpoints.prepare();
  for (const std::int64_t step : {5000, 6000})
    write_file_atomically(checkpoints.path_of(step), "damaged", "test");
  FakeSession session{4, 9};
  resume(session);
  expect_as_if_never_stopped(session);
  EXPECT_EQ(checkpoints.steps().back(), kSteps);
  EXPECT_EQ(read_file(checkpoints.path_of(6000) += ".unread", "test"), "damaged");
}

TEST_F(TrainingResumeTest, TheTimeOfARunGoesOn) {
  FakeSession first{4, 9};
  TrainingSettings settings = settings_of(first, false);
  settings.end = {{}, {}, 20 * FakeSession::kStep_ns};
  first.before_step = [](std::int64_t step) {
    if (step == 9) std::raise(SIGTERM);
  };
  RecordingObserver observer;
  run_training(first, folder_, settings, observer);
  FakeSession second{4, 9};
  second.clock_ns = 1'000'000'000;  // another process, another clock
  settings = settings_of(second, true);
  settings.end = {{}, {}, 20 * FakeSession::kStep_ns};
  run_training(second, folder_, settings, observer_);
  const std::int64_t spent = observer_.start.elapsed_ns;
  EXPECT_EQ(spent, first.clock_ns);
  EXPECT_GE(observer_.steps.back().elapsed_ns, 20 * FakeSession::kStep_ns);
  EXPECT_LT(observer_.steps.back().elapsed_ns, 21 * FakeSession::kStep_ns);
}

TEST_F(TrainingResumeTest, AnotherModelIsRefused) {
  FakeSession first{4, 9};
  RecordingObserver observer;
  run_training(first, folder_, settings_of(first, false), observer);
  FakeSession second{4, 9};
  TrainingSettings settings = settings_of(second, true);
  settings.facts.model = "alexnet";
  EXPECT_THROW(run_training(second, folder_, settings, observer), ConfigError);
}

extern "C" void kill_this_process(int) { ::kill(::getpid(), SIGKILL); }

/// Trains in a child that is killed (kill -9) when the checkpoint after `step` steps has written
/// `bytes`: the limit on file sizes stops write() exactly there.
void train_until_killed(const RunFolder& folder, const TrainingSettings& settings,
                        FakeSession& session, std::int64_t step, rlim_t bytes) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::signal(SIGXFSZ, kill_this_process);
    session.on_state = [&] {
      if (session.trained() != step) return;
      const rlimit limit{bytes, RLIM_INFINITY};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    };
    RecordingObserver observer;
    run_training(session, folder, settings, observer);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
}

class KilledInACheckpoint : public TrainingResumeTest,
                            public testing::WithParamInterface<rlim_t> {};

TEST_P(KilledInACheckpoint, ResumesFromTheOneBefore) {
  for (const std::int64_t step : {3, 12, 23}) {
    SCOPED_TRACE(step);
    fs::remove_all(folder_.checkpoints());
    fs::remove(folder_.metrics());
    FakeSession killed{4, 9};
    train_until_killed(folder_, settings_of(killed, false), killed, step, GetParam());
    EXPECT_FALSE(fs::exists(CheckpointFolder(folder_.checkpoints()).path_of(step)));
    FakeSession session{4, 9};
    resume(session);
    EXPECT_LT(observer_.start.step, step);
    EXPECT_EQ(observer_.start.step == 0, step == 3) << "there was none before the first";
    expect_as_if_never_stopped(session);
  }
}

// Nothing, the length alone, a part of the header, a part of the first tensor, a part of the last.
INSTANTIATE_TEST_SUITE_P(Bytes, KilledInACheckpoint, testing::Values(0, 8, 100, 3000, 4400));

TEST_F(TrainingResumeTest, KilledRightAfterACheckpointItGoesOnThere) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    FakeSession killed{4, 9};
    const auto file = CheckpointFolder(folder_.checkpoints()).path_of(9);
    killed.before_step = [file](std::int64_t step) {
      while (step == 9 && !std::filesystem::exists(file)) ::usleep(100);
      if (step == 9) ::kill(::getpid(), SIGKILL);
    };
    RecordingObserver observer;
    run_training(killed, folder_, settings_of(killed, false), observer);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  FakeSession session{4, 9};
  resume(session);
  EXPECT_EQ(observer_.start.step, 9);
  expect_as_if_never_stopped(session);
}

}  // namespace
}  // namespace millrace
