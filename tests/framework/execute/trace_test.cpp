#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "framework/execute/executor.hpp"

namespace millrace {
namespace {

using nlohmann::json;

StepReport step(std::int64_t number, std::int64_t begin_ns) {
  StepReport report;
  report.step = number;
  report.begin_ns = begin_ns;
  report.end_ns = begin_ns + 9000;
  report.tasks = {{{0, ActionKind::forward, 3}, 0, 0, begin_ns + 500, begin_ns + 2500},
                  {{0, ActionKind::forward, 3}, 0, 1, begin_ns + 600, begin_ns + 2400},
                  {{1, ActionKind::backward, 0}, 1, 0, begin_ns + 3000, begin_ns + 5000},
                  {{1, ActionKind::update, 0}, 1, 0, begin_ns + 6000, begin_ns + 7000}};
  return report;
}

std::vector<json> events(const json& trace, const std::string& phase) {
  std::vector<json> result;
  for (const json& event : trace.at("traceEvents")) {
    if (event.at("ph") == phase) result.push_back(event);
  }
  return result;
}

TEST(ChromeTrace, HoldsEveryStepAndTaskInMicroseconds) {
  const json trace = json::parse(to_chrome_trace({step(7, 1000), step(8, 20000)}));
  const auto complete = events(trace, "X");
  ASSERT_EQ(complete.size(), 2u * (1 + 4));
  EXPECT_EQ(complete[0].at("name"), "step 7");
  EXPECT_EQ(complete[0].at("ts"), 1.0);
  EXPECT_EQ(complete[0].at("dur"), 9.0);
  const json& forward = complete[1];
  EXPECT_EQ(forward.at("name"), "0F3");
  EXPECT_EQ(forward.at("cat"), "forward");
  EXPECT_EQ(forward.at("ts"), 1.5);
  EXPECT_EQ(forward.at("dur"), 2.0);
  EXPECT_EQ(forward.at("args"), (json{{"step", 7}, {"micro_batch", 3}}));
  EXPECT_EQ(complete[4].at("name"), "1U");
  EXPECT_EQ(complete[9].at("args").at("step"), 8);
}

TEST(ChromeTrace, GivesEveryWorkerItsOwnNamedRow) {
  const json trace = json::parse(to_chrome_trace({step(0, 0), step(1, 9000)}));
  std::set<std::pair<int, int>> rows, named;
  for (const json& event : events(trace, "X")) rows.emplace(event.at("pid"), event.at("tid"));
  EXPECT_EQ(rows.size(), 4u) << "the steps and three workers";
  std::set<std::string> names;
  for (const json& event : events(trace, "M")) {
    EXPECT_GT(event.at("tid"), 0);
    if (event.at("name") == "process_name") {
      names.insert(event.at("args").at("name"));
    } else {
      named.emplace(event.at("pid"), event.at("tid"));
    }
  }
  EXPECT_THAT(names, testing::ElementsAre("stage 0", "stage 1", "steps"));
  EXPECT_EQ(named.size(), 3u);
}

TEST(ChromeTrace, StagesOfALaneShareItsRows) {
  StepReport report;
  report.tasks = {{{0, ActionKind::forward, 0}, 0, 0, 0, 10},
                  {{2, ActionKind::forward, 0}, 0, 0, 20, 30},
                  {{1, ActionKind::forward, 0}, 1, 0, 10, 20}};
  const json trace = json::parse(to_chrome_trace({report}));
  std::set<std::string> names;
  for (const json& event : events(trace, "M"))
    if (event.at("name") == "process_name") names.insert(event.at("args").at("name"));
  EXPECT_EQ(names, (std::set<std::string>{"steps", "stages 0, 2", "stage 1"}));
  const auto tasks = events(trace, "X");
  EXPECT_EQ(tasks[1].at("pid"), tasks[2].at("pid"));
  EXPECT_NE(tasks[1].at("pid"), tasks[3].at("pid"));
  EXPECT_EQ(tasks[2].at("name"), "2F0");
}

TEST(ChromeTrace, NamesWeightGradients) {
  StepReport report = step(0, 0);
  report.tasks = {{{1, ActionKind::weight, 2}, 1, 0, 3000, 5000}};
  const json task = events(json::parse(to_chrome_trace({report})), "X").at(1);
  EXPECT_EQ(task.at("name"), "1W2");
  EXPECT_EQ(task.at("cat"), "weight gradient");
}

TEST(ChromeTrace, OfNothingIsStillATrace) {
  const json trace = json::parse(to_chrome_trace({}));
  EXPECT_TRUE(events(trace, "X").empty());
}

}  // namespace
}  // namespace millrace
