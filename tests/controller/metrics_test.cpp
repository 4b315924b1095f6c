#include "controller/metrics.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

using nlohmann::json;

class MetricsTest : public ScratchFolder {
 protected:
  std::vector<json> lines() const {
    std::vector<json> result;
    std::istringstream stream(read_file(path_, "test"));
    for (std::string line; std::getline(stream, line);) result.push_back(json::parse(line));
    return result;
  }
  static StepMetrics at(std::int64_t step) {
    return {step, 1, 0.5, 120.5, 2e6, 0.01, 77, {100, 130}};
  }

  std::filesystem::path path_ = scratch_ / "metrics.jsonl";
};

TEST_F(MetricsTest, EachLineIsInTheFileWhenTheCallReturns) {
  MetricsLog log(path_, 0);
  log.add(at(12));
  ASSERT_EQ(lines().size(), 1u);
  EXPECT_EQ(lines()[0], (json{{"kind", "step"},
                              {"step", 12},
                              {"epoch", 1},
                              {"loss", 0.5},
                              {"images_per_second", 120.5},
                              {"step_ns", 2e6},
                              {"learning_rate", 0.01},
                              {"wall_ns", 77},
                              {"remaining", {{"expected_ns", 100.0}, {"latest_ns", 130.0}}}}));
  log.add(12, 1, Evaluation{50, 0.25, 0.75, 9});
  ASSERT_EQ(lines().size(), 2u);
  EXPECT_EQ(lines()[1], (json{{"kind", "evaluation"},
                              {"step", 12},
                              {"epoch", 1},
                              {"samples", 50},
                              {"loss", 0.25},
                              {"accuracy", 0.75},
                              {"wall_ns", 9}}));
}

TEST_F(MetricsTest, ALossThatIsNoNumberIsNull) {
  StepMetrics metrics = at(1);
  metrics.loss = NAN;
  MetricsLog(path_, 0).add(metrics);
  EXPECT_TRUE(lines().at(0).at("loss").is_null());
}

TEST_F(MetricsTest, ResumingCutsBackToTheStepAndAppends) {
  {
    MetricsLog log(path_, 0);
    for (const std::int64_t step : {1, 2, 3, 4}) log.add(at(step));
    log.add(4, 0, Evaluation{50, 0.25, 0.75, 9});
  }
  MetricsLog log(path_, 2);
  log.add(at(3));
  std::vector<std::int64_t> steps;
  for (const json& line : lines()) steps.push_back(line.at("step"));
  EXPECT_THAT(steps, testing::ElementsAre(1, 2, 3));
}

TEST_F(MetricsTest, ALineThatWasCutShortIsDropped) {
  MetricsLog(path_, 0).add(at(1));
  std::ofstream(path_, std::ios::app) << R"({"kind": "step", "st)";
  MetricsLog(path_, 5).add(at(6));
  ASSERT_EQ(lines().size(), 2u);
  EXPECT_EQ(lines()[1].at("step"), 6);
}

TEST_F(MetricsTest, ANewRunBeginsANewFileAndAResumedOneNeedsNone) {
  MetricsLog(path_, 0).add(at(1));
  MetricsLog(path_, 0).add(at(2));
  EXPECT_EQ(lines().size(), 1u);
  std::filesystem::remove(path_);
  MetricsLog(path_, 9).add(at(10));
  EXPECT_EQ(lines().size(), 1u);
}

TEST_F(MetricsTest, AFullDiskAndAMissingFolderAreResourceErrors) {
  EXPECT_THROW(MetricsLog(scratch_ / "absent" / "m", 0), ResourceError);
  MetricsLog log(path_, 0);
  const FullDisk full(10);
  EXPECT_THROW(log.add(at(1)), ResourceError);
}

}  // namespace
}  // namespace millrace
