#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

#include "framework/execute/executor.hpp"
#include "millrace/errors.hpp"
#include "tests/framework/execute/fake_stage.hpp"

namespace millrace {
namespace {

struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void expect_each(const FakePipeline& pipeline, int cancels, int resets) {
  for (const auto& stage : pipeline.stages) {
    EXPECT_EQ(stage->cancels(), cancels);
    EXPECT_EQ(stage->resets(), resets);
  }
}

void expect_a_whole_step(FakePipeline& pipeline, Executor& executor, const Schedule& schedule) {
  pipeline.hook_all({});
  for (auto& stage : pipeline.stages) stage->forget_calls();
  executor.run(schedule);
  for (const auto& stage : pipeline.stages) {
    for (int w = 0; w < stage->workers(); ++w) {
      std::vector<std::string> names;
      for (const Action& action : schedule.actions.at(static_cast<std::size_t>(stage->stage()))) {
        names.push_back(name_of(action));
      }
      EXPECT_EQ(stage->names_of(w), names);
    }
  }
}

// Every call of every worker fails once, in pipelines of one and of several threads.
class ExecutorFails : public testing::TestWithParam<std::vector<int>> {};

TEST_P(ExecutorFails, InAnyCallAndRunsAgain) {
  FakePipeline pipeline(GetParam());
  Executor executor = pipeline.make_executor();
  const Schedule schedule = make_schedule("zero-bubble", static_cast<int>(GetParam().size()), 3);
  int failures = 0;
  for (const auto& stage : pipeline.stages) {
    for (int worker = 0; worker < stage->workers(); ++worker) {
      for (const char* what : {"F0", "F2", "B0", "B2", "W1", "R", "U"}) {
        SCOPED_TRACE(testing::Message()
                     << "stage " << stage->stage() << " worker " << worker << ' ' << what);
        stage->hook = [&](FakeStage&, const FakeCall& call) {
          if (call.worker == worker && call.what == what) throw Fault(what);
        };
        EXPECT_THROW(executor.run(schedule, {true, {}}), Fault);
        EXPECT_EQ(executor.update_begun(), std::string(what) == "U");
        ++failures;
        expect_each(pipeline, failures, failures);
        expect_a_whole_step(pipeline, executor, schedule);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Pipelines, ExecutorFails,
                         testing::Values(std::vector{1}, std::vector{3}, std::vector{1, 1},
                                         std::vector{2, 3}, std::vector{1, 2, 1}));

// s0w0  F0 F1 ..wait for s0w1..                    F2 of worker 1 fails while all others wait in a
// s0w1  F0 F1 F2 throws -> cancel() everywhere     call or for a channel
// s1w0  F0 ..wait in its call..
TEST(ExecutorFailure, WakesThoseThatWaitInsideACall) {
  FakePipeline pipeline({2, 1});
  pipeline.stage(1).hook = [](FakeStage& stage, const FakeCall& call) {
    if (call.what == "F0") stage.wait_until_cancelled();
  };
  pipeline.stage(0).hook = [&](FakeStage& stage, const FakeCall& call) {
    if (call.what == "enter" || call.what == "F0") return;
    if (call.worker == 0) stage.wait_until_cancelled();
    stage.wait_for_waiting(1);
    pipeline.stage(1).wait_for_waiting(1);
    throw Fault("worker 1");
  };
  Executor executor = pipeline.make_executor();
  const Schedule schedule = make_schedule("fill-drain", 2, 3);
  EXPECT_THROW(executor.run(schedule), Fault);
  expect_each(pipeline, 1, 1);
  expect_a_whole_step(pipeline, executor, schedule);
}

TEST(ExecutorFailure, NoNewTaskStartsAfterIt) {
  FakePipeline pipeline({1, 1});
  Executor executor = pipeline.make_executor();
  // Stage 0 is inside F1 when stage 1 fails in F0, and comes back only when it is cancelled.
  pipeline.stage(0).hook = [](FakeStage& stage, const FakeCall& call) {
    if (call.what != "F1") return;
    try {
      stage.wait_until_cancelled();
    } catch (const Cancelled&) {  // a call that does not wait for others just ends
    }
  };
  pipeline.stage(1).hook = [&](FakeStage&, const FakeCall& call) {
    if (call.what != "F0") return;
    pipeline.stage(0).wait_for_waiting(1);
    throw Fault("F0");
  };
  EXPECT_THROW(executor.run(make_schedule("fill-drain", 2, 4)), Fault);
  EXPECT_THAT(pipeline.stage(0).names_of(0), testing::ElementsAre("enter", "F0", "F1"));
  EXPECT_THAT(pipeline.stage(1).names_of(0), testing::ElementsAre("enter"));
}

TEST(ExecutorFailure, TheFirstExceptionWins) {
  FakePipeline pipeline({2});
  Executor executor = pipeline.make_executor();
  // Worker 1 is inside its call when worker 0 fails, and fails itself once that was seen.
  pipeline.stage(0).hook = [](FakeStage& stage, const FakeCall& call) {
    if (call.worker == 1) {
      try {
        stage.wait_until_cancelled();
      } catch (const Cancelled&) {
        throw std::logic_error("second");
      }
    }
    stage.wait_for_waiting(1);
    throw Fault("first");
  };
  EXPECT_THROW(executor.run(make_schedule("1f1b", 1, 1)), Fault);
}

TEST(ExecutorFailure, AnythingThatIsThrownReachesTheCaller) {
  FakePipeline pipeline({1, 1});
  Executor executor = pipeline.make_executor();
  pipeline.stage(1).hook = [](FakeStage&, const FakeCall&) { throw 42; };
  EXPECT_THROW(executor.run(make_schedule("1f1b", 2, 1)), int);
}

TEST(ExecutorFailure, CancelledOutOfNothingIsABugThatIsNamed) {
  FakePipeline pipeline({1, 1});
  Executor executor = pipeline.make_executor();
  pipeline.stage(0).hook = [](FakeStage&, const FakeCall&) { throw Cancelled{}; };
  EXPECT_THROW(executor.run(make_schedule("1f1b", 2, 1)), InternalError);
}

TEST(ExecutorFailure, BetweenFailsAsATaskDoes) {
  FakePipeline pipeline({2, 1});
  Executor executor = pipeline.make_executor();
  const Schedule schedule = make_schedule("1f1b", 2, 2);
  EXPECT_THROW(executor.run(schedule, {true, [] { throw Fault("between"); }}), Fault);
  for (const auto& stage : pipeline.stages) {
    EXPECT_THAT(stage->names_of(0), testing::Not(testing::Contains("U")));
  }
  expect_each(pipeline, 1, 1);
  expect_a_whole_step(pipeline, executor, schedule);
}

TEST(ExecutorFailure, EnterReachesTheConstructorsCallerAndWakesTheOthers) {
  FakePipeline pipeline({2, 2});
  pipeline.hook_all([&](FakeStage& stage, const FakeCall& call) {
    if (stage.stage() != 1 || call.worker != 0) stage.wait_until_cancelled();
    pipeline.stage(0).wait_for_waiting(2);
    throw Fault("enter");
  });
  EXPECT_THROW(pipeline.make_executor(), Fault);
  expect_each(pipeline, 1, 1);
}

TEST(ExecutorFailure, ACpuThatDoesNotExistIsAResourceError) {
  FakePipeline pipeline({1});
  EXPECT_THROW(Executor(pipeline.runners(), {{{{1 << 20}, 1}}}), ResourceError);
  EXPECT_TRUE(pipeline.stage(0).calls_of(0).empty());
}

// Failures at changing places, one step after another, with real races between the workers.
TEST(ExecutorFailure, ManyTimesInARow) {
  FakePipeline pipeline({2, 2, 1});
  Executor executor = pipeline.make_executor();
  const Schedule schedule = make_schedule("1f1b", 3, 4);
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> calls = 0;
    pipeline.hook_all([&](FakeStage&, const FakeCall&) {
      if (++calls == 1 + round % 50) throw Fault("round");
    });
    // 5 workers x (4 F + 4 B + R + U) = 50 calls, so that one of them fails in every round.
    EXPECT_THROW(executor.run(schedule), Fault);
  }
  expect_a_whole_step(pipeline, executor, schedule);
}

}  // namespace
}  // namespace millrace
