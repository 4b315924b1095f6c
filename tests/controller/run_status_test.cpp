#include "controller/run_status.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controller/run_folder.hpp"
#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "tests/controller/fake_session.hpp"
#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

/// A process that has ended.
ProcessIdentity ended_process() {
  const pid_t child = ::fork();
  if (child == 0) ::pause();
  const ProcessIdentity identity = identity_of(child).value();
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  return identity;
}

RunStatus example(RunState state, ProcessIdentity process) {
  RunStatus status{state, process, "alexnet", {}, 0.25, {{"a", "b", {0, 2}, 97.5}}};
  status.progress.step = 7;
  status.progress.last_step = 20;
  status.progress.fraction = 0.35;
  status.progress.loss = 1.5;
  status.progress.images_per_second = 80;
  status.progress.remaining = {1e9, 2e9};
  status.progress.elapsed_ns = 5;
  return status;
}

TEST(ProcessIdentity, TellsProcessesApart) {
  EXPECT_EQ(identity_of(::getpid()), identity_of(::getpid()));
  EXPECT_GT(identity_of(::getpid())->started_ticks, 0);
  EXPECT_FALSE(identity_of(ended_process().number));
  EXPECT_FALSE(identity_of(0));
}

TEST(ProcessIdentity, AnEndedProcessIsGoneThoughNobodyWaitedForIt) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  siginfo_t ended;
  ::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT);
  EXPECT_FALSE(identity_of(child));
  ::waitpid(child, nullptr, 0);
}

TEST(RunStatus, SurvivesItsJson) {
  const RunStatus status = example(RunState::terminated, {12, 34});
  const RunStatus read = run_status_from_json(to_json(status), "a test");
  EXPECT_EQ(read.state, RunState::terminated);
  EXPECT_EQ(read.process, status.process);
  EXPECT_EQ(read.model, "alexnet");
  EXPECT_EQ(read.progress.step, 7);
  EXPECT_EQ(read.progress.last_step, 20);
  EXPECT_EQ(read.progress.remaining.latest_ns, 2e9);
  EXPECT_EQ(read.accuracy, 0.25);
  EXPECT_EQ(read.stages, status.stages);
}

TEST(RunStatus, SaysWhetherTheDeadlineWillBeMet) {
  RunStatus status = example(RunState::running, {12, 34});
  EXPECT_FALSE(run_status_from_json(to_json(status), "a test").progress.deadline_ns);
  EXPECT_THAT(to_json(status), HasSubstr("\"deadline_outlook\": null"));
  for (const auto& [deadline_ns, outlook] :
       {std::pair(2'000'000'005, "met"), std::pair(1'500'000'000, "uncertain"),
        std::pair(900'000'000, "missed")}) {
    status.progress.deadline_ns = deadline_ns;
    EXPECT_EQ(run_status_from_json(to_json(status), "a test").progress.deadline_ns, deadline_ns);
    EXPECT_THAT(to_json(status), HasSubstr(std::string("\"deadline_outlook\": \"") + outlook));
  }
}

TEST(RunStatus, TellsHowBusyTheStagesWere) {
  FakeSession session;
  StepReport report;
  report.end_ns = 1000;
  TaskSpan task;
  task.begin_ns = 100;
  task.end_ns = 700;
  task.waited_ns = 100;
  report.tasks = {task};
  const auto stages = stage_status(session.plan(), report);
  ASSERT_EQ(stages.size(), session.plan().stages.size());
  EXPECT_DOUBLE_EQ(stages[0].busy_percent, 50.0 / session.plan().stages[0].workers());
  EXPECT_EQ(stages[0].first_layer, session.plan().stages[0].layers.front());
}

class RunStatusFile : public ScratchFolder {
 protected:
  void say(const RunStatus& status) const {
    fs::create_directories(out_);
    replace_file(out_ / "status.json", to_json(status), "test");
  }
  fs::path out_ = scratch_ / "run";
};

TEST_F(RunStatusFile, ARunThatGoesOnRuns) {
  say(example(RunState::running, *identity_of(::getpid())));
  EXPECT_EQ(read_run_status(out_).state, RunState::running);
}

TEST_F(RunStatusFile, ARunWhoseProcessIsGoneWasKilled) {
  say(example(RunState::running, ended_process()));
  EXPECT_EQ(read_run_status(out_).state, RunState::killed);
  ProcessIdentity later = *identity_of(::getpid());
  --later.started_ticks;  // its number went to another process
  say(example(RunState::running, later));
  EXPECT_EQ(read_run_status(out_).state, RunState::killed);
}

TEST_F(RunStatusFile, AFolderThatIsTakenIsPreparedForARun) {
  const RunFolder folder = RunFolder::create(out_, false);
  EXPECT_EQ(read_run_status(out_).state, RunState::preparing);
  say(example(RunState::terminated, ended_process()));
  EXPECT_EQ(read_run_status(out_).state, RunState::preparing);
}

TEST_F(RunStatusFile, ARunThatEndsSaysSoBeforeItsProcessIsGone) {
  const RunFolder folder = RunFolder::create(out_, false);
  say(example(RunState::finished, *identity_of(::getpid())));
  EXPECT_EQ(read_run_status(out_).state, RunState::finished);
}

TEST_F(RunStatusFile, ABrokenFileIsAsGoodAsNone) {
  const RunFolder folder = RunFolder::create(out_, false);
  replace_file(out_ / "status.json", "", "test");
  EXPECT_EQ(read_run_status(out_).state, RunState::preparing);
}

TEST_F(RunStatusFile, AnEndedRunSaysHow) {
  say(example(RunState::failed, ended_process()));
  const RunStatus status = read_run_status(out_);
  EXPECT_EQ(status.state, RunState::failed);
  EXPECT_EQ(status.progress.step, 7);
}

/// As on a full disk: no new file can be made, what is there can be written over.
TEST_F(RunStatusFile, TheEndIsSaidWhereNoNewFileFindsRoom) {
  const RunStatus running = example(RunState::running, ended_process());
  say(running);
  fs::create_directory((out_ / "status.json").string() + fmt::format(".{}.tmp", ::getpid()));
  StatusFile file(out_ / "status.json");
  RunStatus now = running;
  now.progress.step = 8;
  file.write(now, 1);
  EXPECT_EQ(read_run_status(out_).progress.step, 7);
  now.state = RunState::failed;
  file.write(now, 2);
  EXPECT_EQ(read_run_status(out_).progress.step, 8);
  EXPECT_EQ(read_run_status(out_).state, RunState::failed);
}

TEST_F(RunStatusFile, WhatIsNoRunIsRefused) {
  EXPECT_THAT([&] { read_run_status(out_); }, ThrowsMessage<ConfigError>(HasSubstr("cannot open")));
  fs::create_directories(out_);
  EXPECT_THAT([&] { read_run_status(out_); }, ThrowsMessage<ConfigError>(HasSubstr("no run")));
  replace_file(out_ / "config.toml", "", "test");
  EXPECT_THAT([&] { read_run_status(out_); },
              ThrowsMessage<ConfigError>(HasSubstr("millrace resume")));
}

TEST_F(RunStatusFile, IsWrittenTwiceASecondAndNeverEndsARun) {
  fs::create_directories(out_);
  StatusFile file(out_ / "status.json");
  EXPECT_TRUE(file.is_due(0));
  file.write(example(RunState::running, {}), 0);
  EXPECT_FALSE(file.is_due(499'999'999));
  EXPECT_TRUE(file.is_due(500'000'000));
  StatusFile nowhere(out_ / "gone" / "status.json");
  EXPECT_NO_THROW(nowhere.write(example(RunState::running, {}), 0));
}

class StatusOfATraining : public ScratchFolder {
 protected:
  RunState state() const {
    return run_status_from_json(read_file(folder_.status(), "test"), "a test").state;
  }
  FakeSession session_{4};
  RunFolder folder_ = RunFolder::create(scratch_ / "run", false);
  RecordingObserver observer_;
};

TEST_F(StatusOfATraining, RunsThenFinishes) {
  std::vector<RunState> seen;
  session_.before_step = [&](std::int64_t) { seen.push_back(state()); };
  run_training(session_, folder_, fake_settings(session_, 2), observer_);
  EXPECT_THAT(seen, ElementsAre(RunState::running, RunState::running));
  EXPECT_EQ(state(), RunState::finished);
}

TEST_F(StatusOfATraining, FailsWithItsError) {
  session_.diverges_at = 1;
  EXPECT_THROW(run_training(session_, folder_, fake_settings(session_, 6), observer_), ConfigError);
  EXPECT_EQ(state(), RunState::failed);
}

}  // namespace
}  // namespace millrace
