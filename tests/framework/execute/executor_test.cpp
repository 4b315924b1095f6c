#include "framework/execute/executor.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "framework/affinity/affinity.hpp"
#include "millrace/errors.hpp"
#include "tests/framework/execute/fake_stage.hpp"

namespace millrace {
namespace {

/// What the worker must be given: one part per worker of the stage before (forward) or after.
std::vector<FakePart> expected_inputs(const FakePipeline& pipeline, const Action& action) {
  std::vector<FakePart> parts;
  const bool forward = action.kind == ActionKind::forward;
  const int from = forward ? action.stage - 1 : action.stage + 1;
  if (from < 0 || from >= static_cast<int>(pipeline.stages.size())) return parts;
  for (int w = 0; w < pipeline.stages[static_cast<std::size_t>(from)]->workers(); ++w) {
    parts.push_back({from, w, action.kind, action.micro_batch});
  }
  return parts;
}

void expect_ran(const FakePipeline& pipeline, const Schedule& schedule) {
  for (const auto& stage : pipeline.stages) {
    const auto& actions = schedule.actions.at(static_cast<std::size_t>(stage->stage()));
    for (int w = 0; w < stage->workers(); ++w) {
      const auto calls = stage->calls_of(w);
      ASSERT_EQ(calls.size(), actions.size());
      for (std::size_t i = 0; i < calls.size(); ++i) {
        EXPECT_EQ(calls[i].what, name_of(actions[i]));
        const bool pass =
            actions[i].kind == ActionKind::forward || actions[i].kind == ActionKind::backward;
        if (!pass) continue;
        const bool backward = actions[i].kind == ActionKind::backward;
        EXPECT_EQ(calls[i].input_gradient, backward && schedule.splits_backward());
        EXPECT_EQ(calls[i].inputs, expected_inputs(pipeline, actions[i]));
      }
    }
  }
}

void expect_spans(const FakePipeline& pipeline, const Schedule& schedule,
                  const StepReport& report) {
  std::size_t next = 0;
  for (const auto& stage : pipeline.stages) {
    for (int w = 0; w < stage->workers(); ++w) {
      std::int64_t last_ns = report.begin_ns;
      for (const Action& action : schedule.actions.at(static_cast<std::size_t>(stage->stage()))) {
        const TaskSpan& span = report.tasks.at(next++);
        EXPECT_EQ(span.action, action);
        EXPECT_EQ(span.worker, w);
        EXPECT_LE(last_ns, span.begin_ns);
        EXPECT_LE(span.begin_ns, span.end_ns);
        last_ns = span.end_ns;
      }
      EXPECT_LE(last_ns, report.end_ns);
    }
  }
  EXPECT_EQ(next, report.tasks.size());
}

class ExecutorRuns : public testing::TestWithParam<std::tuple<std::string, std::vector<int>>> {};

TEST_P(ExecutorRuns, TheScheduleAndItsDataflow) {
  const auto& [name, workers] = GetParam();
  FakePipeline pipeline(workers);
  Executor executor = pipeline.make_executor();
  for (int micro_batches = 1; micro_batches <= 5; ++micro_batches) {
    SCOPED_TRACE(micro_batches);
    const Schedule schedule = make_schedule(name, static_cast<int>(workers.size()), micro_batches);
    for (auto& stage : pipeline.stages) stage->forget_calls();
    const StepReport report = executor.run(schedule);
    expect_ran(pipeline, schedule);
    expect_spans(pipeline, schedule, report);
  }
}

INSTANTIATE_TEST_SUITE_P(
    StagesAndWorkers, ExecutorRuns,
    testing::Combine(testing::Values("fill-drain", "1f1b", "zero-bubble", "forward-only"),
                     testing::Values(std::vector{1}, std::vector{2}, std::vector{3},
                                     std::vector{1, 1}, std::vector{2, 2}, std::vector{3, 3},
                                     std::vector{1, 3}, std::vector{3, 1}, std::vector{1, 1, 1},
                                     std::vector{2, 2, 2}, std::vector{3, 3, 3},
                                     std::vector{1, 3, 2}, std::vector{1, 1, 1, 1},
                                     std::vector{2, 2, 2, 2}, std::vector{3, 3, 3, 3},
                                     std::vector{3, 1, 2, 1})));

/// What the lane's schedule has of the stage.
std::vector<std::string> names_of_stage(const Schedule& schedule, int stage) {
  std::vector<std::string> names;
  for (const Action& action : schedule.lane_of(stage))
    if (action.stage == stage) names.push_back(name_of(action));
  return names;
}

TEST(Executor, ThreadsOfALaneRunItsStagesInTurn) {
  const std::vector<int> lanes = {0, 1, 0, 1, 0};
  FakePipeline pipeline({2, 1, 2, 1, 2});
  std::mutex mutex;
  std::map<std::pair<int, int>, std::set<std::thread::id>> threads;  // by lane and worker
  pipeline.hook_all([&](FakeStage& stage, const FakeCall& call) {
    const std::lock_guard lock(mutex);
    threads[{lanes[std::size_t(stage.stage())], call.worker}].insert(std::this_thread::get_id());
  });
  Executor executor(pipeline.runners(), lanes,
                    {std::vector<WorkerPlace>(2), std::vector<WorkerPlace>(1)});
  for (const char* name : {"interleaved", "forward-only"})
    for (int micro_batches = 1; micro_batches <= 7; ++micro_batches) {
      const Schedule schedule = make_schedule(name, lanes, micro_batches);
      for (auto& stage : pipeline.stages) stage->forget_calls();
      int between = 0;
      const StepReport report = executor.run(schedule, {true, [&] { ++between; }});
      for (const TaskSpan& task : report.tasks)
        EXPECT_EQ(task.lane, lanes[std::size_t(task.action.stage)]);
      EXPECT_EQ(between, schedule.name == "interleaved" ? 1 : 0);
      for (int s = 0; s < 5; ++s)
        for (int w = 0; w < pipeline.stage(s).workers(); ++w)
          EXPECT_EQ(pipeline.stage(s).names_of(w), names_of_stage(schedule, s));
    }
  EXPECT_EQ(threads.size(), 3u);
  for (const auto& [place, ids] : threads) EXPECT_EQ(ids.size(), 1u);
}

TEST(Executor, EachWorkerAsksOnceBeforeItUpdates) {
  FakePipeline pipeline({2, 1, 2});
  std::atomic<int> asked = 0, updates = 0, early = 0;
  pipeline.hook_all([&](FakeStage&, const FakeCall& call) {
    if (call.what != "U") return;
    ++updates;
    if (asked == 0) ++early;
  });
  Executor executor = pipeline.make_executor();
  executor.run(make_schedule("1f1b", 3, 4), {.before_update = [&] { ++asked; }});
  EXPECT_EQ(asked, 5);
  EXPECT_EQ(updates, 5);
  EXPECT_EQ(early, 0);
  executor.run(make_schedule("forward-only", 3, 4), {.before_update = [&] { ++asked; }});
  EXPECT_EQ(asked, 5);
}

TEST(Executor, LanesMustFitStagesAndSchedule) {
  FakePipeline pipeline({2, 1, 2});
  const std::vector<std::vector<WorkerPlace>> places = {std::vector<WorkerPlace>(2),
                                                        std::vector<WorkerPlace>(1)};
  EXPECT_THROW(Executor(pipeline.runners(), {0, 0, 1}, places), InternalError);
  EXPECT_THROW(Executor(pipeline.runners(), {0, 1}, places), InternalError);
  EXPECT_THROW(Executor(pipeline.runners(), {0, 1, 2}, places), InternalError);
  FakePipeline single({2});
  EXPECT_THROW(Executor(single.runners(), {0}, places), InternalError);
  Executor executor(pipeline.runners(), {0, 1, 0}, places);
  EXPECT_THROW(executor.run(make_schedule("1f1b", 3, 2)), InternalError);
}

TEST(Executor, EntersEveryWorkerOnceOnTheThreadThatThenWorks) {
  FakePipeline pipeline({2, 1});
  std::mutex mutex;
  std::set<std::thread::id> entered, worked;
  pipeline.hook_all([&](FakeStage&, const FakeCall& call) {
    const std::lock_guard lock(mutex);
    (call.what == "enter" ? entered : worked).insert(std::this_thread::get_id());
  });
  Executor executor = pipeline.make_executor();
  EXPECT_EQ(entered.size(), 3u);
  EXPECT_EQ(pipeline.stage(0).names_of(0), std::vector<std::string>{"enter"});
  for (int step = 0; step < 3; ++step) executor.run(make_schedule("1f1b", 2, 2));
  EXPECT_EQ(worked, entered);
  EXPECT_FALSE(entered.contains(std::this_thread::get_id()));
}

TEST(Executor, BindsAWorkerBeforeItEnters) {
  const int cpu = this_thread_cpus().front();
  FakePipeline pipeline({1});
  std::vector<int> seen;
  pipeline.stage(0).hook = [&](FakeStage&, const FakeCall&) { seen = this_thread_cpus(); };
  const Executor executor(pipeline.runners(), {{{{cpu}, 1}}});
  EXPECT_THAT(seen, testing::ElementsAre(cpu));
}

TEST(Executor, NoUpdateStartsBeforeAllAreReducedAndBetweenHasRun) {
  constexpr int kWorkers = 5, kSteps = 20;
  FakePipeline pipeline({2, 3});
  std::atomic<int> reduced = 0, between = 0;
  int step = 0;
  pipeline.hook_all([&](FakeStage&, const FakeCall& call) {
    if (call.what == "R") ++reduced;
    EXPECT_TRUE(call.what != "U" || between == step);
  });
  Executor executor = pipeline.make_executor();
  while (step < kSteps) {
    ++step;
    executor.run(make_schedule("1f1b", 2, 3), {true, [&] {
                                                 EXPECT_EQ(reduced, step * kWorkers);
                                                 ++between;
                                               }});
  }
  EXPECT_EQ(between, kSteps);
}

TEST(Executor, UpdatesMayWaitForAllWithNothingBetween) {
  FakePipeline pipeline({1, 1});
  std::atomic<int> reduced = 0;
  pipeline.hook_all([&](FakeStage&, const FakeCall& call) {
    if (call.what == "R") ++reduced;
    EXPECT_TRUE(call.what != "U" || reduced == 2);
  });
  Executor executor = pipeline.make_executor();
  executor.run(make_schedule("fill-drain", 2, 2), {true, {}});
  EXPECT_EQ(pipeline.stage(0).names_of(0).back(), "U");
}

TEST(Executor, AnUpdateNeedsNoOtherStageUnlessAsked) {
  // The first stage's reduction ends only when the last stage has updated: a barrier that nobody
  // asked for would make this hang.
  FakePipeline pipeline({1, 1});
  std::atomic<bool> last_updated = false;
  pipeline.hook_all([&](FakeStage& stage, const FakeCall& call) {
    if (stage.stage() == 1 && call.what == "U") last_updated = true;
    if (stage.stage() == 0 && call.what == "R") {
      while (!last_updated) std::this_thread::yield();
    }
  });
  Executor executor = pipeline.make_executor();
  executor.run(make_schedule("1f1b", 2, 2));
  EXPECT_EQ(pipeline.stage(0).names_of(0).back(), "U");
}

TEST(Executor, BetweenRunsOnlyWhereUpdatesWaitForAll) {
  FakePipeline pipeline({2, 1});
  Executor executor = pipeline.make_executor();
  int between = 0;
  executor.run(make_schedule("1f1b", 2, 2), {false, [&] { ++between; }});
  EXPECT_EQ(between, 0);
  executor.run(make_schedule("forward-only", 2, 2), {true, [&] { ++between; }});
  EXPECT_EQ(between, 0) << "nothing is updated";
  executor.run(make_schedule("1f1b", 2, 2), {true, [&] { ++between; }});
  EXPECT_EQ(between, 1);
}

TEST(Executor, LetsGoOfInputsBeforeTheStepEnds) {
  FakePipeline pipeline({1, 1});
  std::weak_ptr<void> seen;
  struct Keeping : FakeStage {
    Keeping(std::weak_ptr<void>& target) : FakeStage(1, 1), target_(target) {}
    Payload forward(int, int, const std::vector<Payload>& inputs) override {
      target_ = inputs.at(0);
      return nullptr;
    }
    std::weak_ptr<void>& target_;
  } last(seen);
  Executor executor({&pipeline.stage(0), &last}, {{{}}, {{}}});
  executor.run(make_schedule("forward-only", 2, 1));
  EXPECT_TRUE(seen.expired());
}

TEST(Executor, RefusesAScheduleThatWouldHang) {
  FakePipeline pipeline({1, 1});
  Executor executor = pipeline.make_executor();
  Schedule schedule = make_schedule("1f1b", 2, 3);
  std::swap(schedule.actions[1][0], schedule.actions[1][1]);  // backward before its forward
  EXPECT_THROW(executor.run(schedule), ConfigError);
  EXPECT_THROW(executor.run(make_schedule("1f1b", 3, 1)), InternalError);
  EXPECT_NO_THROW(executor.run(make_schedule("1f1b", 2, 3)));
}

TEST(Executor, RefusesPlacesThatDoNotFit) {
  FakePipeline pipeline({2});
  EXPECT_THROW(Executor(pipeline.runners(), {}), InternalError);
  EXPECT_THROW(Executor(pipeline.runners(), {{WorkerPlace{}}}), InternalError);
}

TEST(Executor, IsDestroyedWhileIdle) {
  FakePipeline pipeline({2, 2});
  { const Executor never_run = pipeline.make_executor(); }
  {
    Executor executor = pipeline.make_executor();
    executor.run(make_schedule("1f1b", 2, 2));
  }
  EXPECT_EQ(pipeline.stage(0).cancels(), 0);
  EXPECT_EQ(pipeline.stage(0).resets(), 0);
}

}  // namespace
}  // namespace millrace
