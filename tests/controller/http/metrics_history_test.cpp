#include "controller/http/metrics_history.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "controller/metrics.hpp"
#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

using nlohmann::json;

class History : public ScratchFolder {
 protected:
  static StepMetrics line(std::int64_t step) {
    const auto s = static_cast<double>(step);
    return {step, 0, 1 / s, 100, 2e9, 0.01, step * 1000, {s * 10, s * 20}};
  }
  json read() { return json::parse(history_.answer("img/s").json); }

  const std::filesystem::path file_ = scratch_ / "metrics.jsonl";
  MetricsHistory history_{file_};
};

TEST_F(History, IsEmptyBeforeThereIsAFile) {
  const json history = read();
  EXPECT_EQ(history.at("rate_unit"), "img/s");
  EXPECT_EQ(history.at("complete"), true);
  EXPECT_EQ(history.at("points").at("step"), json::array());
  EXPECT_EQ(history.at("evaluations").at("accuracy"), json::array());
}

TEST_F(History, GrowsWithTheFile) {
  MetricsLog log(file_, 0);
  log.add(line(1));
  EXPECT_EQ(read().at("points").at("step"), json({1}));
  log.add(line(2));
  log.add(2, 0, {50, 0.5, 0.25, 7});
  const json history = read();
  EXPECT_EQ(history.at("points").at("step"), json({1, 2}));
  EXPECT_EQ(history.at("points").at("wall_ns"), json({1000, 2000}));
  EXPECT_EQ(history.at("points").at("loss"), json({1, 0.5}));
  EXPECT_EQ(history.at("points").at("images_per_second"), json({100, 100}));
  EXPECT_EQ(history.at("points").at("expected_ns"), json({10, 20}));
  EXPECT_EQ(history.at("points").at("latest_ns"), json({20, 40}));
  EXPECT_EQ(history.at("evaluations"),
            json::parse(R"({"step": [2], "loss": [0.5], "accuracy": [0.25]})"));
}

TEST_F(History, BeginsAnewWhereTheRunWentBackToACheckpoint) {
  MetricsLog log(file_, 0);
  for (int step = 1; step <= 4; ++step) log.add(line(step));
  read();
  MetricsLog again(file_, 2);
  for (int step = 3; step <= 6; ++step) again.add(line(step));
  EXPECT_EQ(read().at("points").at("step"), json({1, 2, 3, 4, 5, 6}));
}

TEST_F(History, LeavesALineThatIsBeingWritten) {
  std::ofstream(file_) << R"({"kind": "step", "step": 1, "loss": 3)";
  EXPECT_EQ(read().at("points").at("step"), json::array());
  std::ofstream(file_, std::ios::app) << "}\n";
  EXPECT_EQ(read().at("points").at("loss"), json({3}));
}

TEST_F(History, OfALongRunIsThinnedToMeans) {
  MetricsLog log(file_, 0);
  for (std::int64_t step = 1; step <= 4800; ++step) log.add(line(step));
  const json points = read().at("points");
  const std::size_t count = points.at("step").size();
  EXPECT_EQ(count, 600u);  // eight lines each
  EXPECT_EQ(points.at("step").at(0), 8);
  EXPECT_EQ(points.at("step").back(), 4800);
  EXPECT_EQ(points.at("wall_ns").at(0), 8000);
  EXPECT_NEAR(points.at("loss").at(0).get<double>(), 2.717857 / 8, 1e-6);
  EXPECT_EQ(points.at("images_per_second").at(0), 100);
  EXPECT_EQ(points.at("latest_ns").at(0), 160);
}

TEST_F(History, KeepsABoundedNumberOfEvaluations) {
  MetricsLog log(file_, 0);
  for (std::int64_t step = 1; step <= 5000; ++step) log.add(step, 0, {50, 1, 0.5, 7});
  const json steps = read().at("evaluations").at("step");
  EXPECT_LE(steps.size(), 2 * MetricsHistory::kPoints);
  EXPECT_EQ(steps.back(), 5000);
}

TEST_F(History, ReadsALongFileInParts) {
  {
    std::ofstream out(file_);
    const std::string padding(1000, ' ');
    for (int step = 1; step <= 5000; ++step)
      out << R"({"kind": "step", "step": )" << step << ", \"loss\": 1" << padding << "}\n";
  }
  const json first = read();
  EXPECT_EQ(first.at("complete"), false);
  EXPECT_LT(first.at("points").at("step").back(), 5000);
  const json second = read();
  EXPECT_EQ(second.at("complete"), true);
  EXPECT_EQ(second.at("points").at("step").back(), 5000);
}

TEST_F(History, PassesOverWhatItDoesNotKnow) {
  std::ofstream(file_)
      << "no JSON\n[1]\n{\"kind\": 7, \"step\": 1, \"loss\": 2, \"remaining\": 3}\n"
         "{\"step\": 2, \"loss\": 2}\n{\"kind\": \"mood\", \"step\": 3, \"loss\": 2}\n"
         "{\"kind\": \"step\", \"step\": 4, \"loss\": 0.5, \"remaining\": 3}\n";
  EXPECT_EQ(read().at("points").at("step"), json({4}));
  EXPECT_EQ(read().at("points").at("loss"), json({0.5}));
}

TEST_F(History, TellsOfOtherPlansApartFromThePoints) {
  MetricsLog log(file_, 0);
  log.add(line(1));
  log.add(PlanChange{1, "cores \"big\" became 2.0 x slower", 2e9, 1.5e9});
  log.add(line(2));
  const json history = read();
  EXPECT_EQ(history.at("points").at("step"), json({1, 2}));
  EXPECT_EQ(history.at("points").at("loss"), json({1, 0.5}));
  EXPECT_EQ(history.at("plans").at("step"), json({1}));
  EXPECT_EQ(history.at("plans").at("reason"), json({"cores \"big\" became 2.0 x slower"}));
  EXPECT_EQ(history.at("plans").at("expected_step_ns"), json({1.5e9}));
}

TEST_F(History, KeepsABoundedNumberOfPlans) {
  MetricsLog log(file_, 0);
  for (std::int64_t step = 1; step <= 5000; ++step) log.add(PlanChange{step, "", 0, 1});
  const json steps = read().at("plans").at("step");
  EXPECT_LE(steps.size(), 2 * MetricsHistory::kPoints);
  EXPECT_EQ(steps.back(), 5000);
}

}  // namespace
}  // namespace millrace
