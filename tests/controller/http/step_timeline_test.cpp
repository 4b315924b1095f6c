#include "controller/http/step_timeline.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace millrace {
namespace {

using nlohmann::json;

TaskSpan task(int stage, ActionKind kind, int micro_batch, int worker, std::int64_t begin_ns,
              std::int64_t end_ns) {
  return {{stage, kind, micro_batch}, stage, worker, begin_ns, end_ns};
}

json timeline(const std::vector<StageStatus>& stages, const StepReport& step) {
  return json::parse(step_timeline(stages, step));
}

TEST(StepTimeline, HasARowForEachWorkerInOrderOfTime) {
  StepReport step;
  step.step = 6;
  step.begin_ns = 1000;
  step.end_ns = 9000;
  step.tasks = {task(0, ActionKind::backward, 1, 1, 5000, 7000),
                task(0, ActionKind::forward, 1, 1, 1000, 3000),
                task(0, ActionKind::forward, 0, 0, 1000, 2000),
                task(1, ActionKind::update, 0, 0, 8000, 9000)};
  const json drawn = timeline({{"a", "b", {4, 5}, 0}, {"c", "c", {6, 7}, 0}}, step);
  EXPECT_EQ(drawn.at("step"), 7);
  EXPECT_EQ(drawn.at("wall_ns"), 8000);
  EXPECT_EQ(drawn.at("rows"), json::parse(R"([
    {"lane": 0, "worker": 0, "cpus": [4], "tasks": [["F", 0, 0, 0, 1000]]},
    {"lane": 0, "worker": 1, "cpus": [5], "tasks": [["F", 0, 1, 0, 2000], ["B", 0, 1, 4000, 6000]]},
    {"lane": 1, "worker": 0, "cpus": [6, 7], "tasks": [["U", 1, 0, 7000, 8000]]}])"));
}

TEST(StepTimeline, JoinsWhatIsTooShortToBeSeen) {
  StepReport step;
  step.end_ns = 2'000'000;  // a thousand ns is what can be told apart
  for (int i = 0; i < 10'000; ++i)
    step.tasks.push_back(task(0, ActionKind::forward, i, 0, i * 100, i * 100 + 90));
  step.tasks.push_back(task(0, ActionKind::backward, 0, 0, 1'000'000, 2'000'000));
  const json tasks = timeline({{"a", "b", {0}, 0}}, step).at("rows").at(0).at("tasks");
  ASSERT_EQ(tasks.size(), 1001u);
  EXPECT_EQ(tasks.at(0), json({"F", 0, 0, 0, 990}));
  EXPECT_EQ(tasks.at(1000), json({"B", 0, 0, 1'000'000, 2'000'000}));
}

TEST(StepTimeline, IsEmptyBeforeTheFirstStep) {
  EXPECT_EQ(timeline({{"a", "b", {0}, 0}}, {}).at("rows"), json::array());
}

}  // namespace
}  // namespace millrace
