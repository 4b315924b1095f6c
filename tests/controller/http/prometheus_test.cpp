#include "controller/http/prometheus.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <regex>
#include <sstream>

namespace millrace {
namespace {

using testing::HasSubstr;
using testing::Not;

RunStatus example() {
  RunStatus status;
  status.model = "a \"quoted\"\\name\n";
  status.progress.step = 420;
  status.progress.last_step = 1000;
  status.progress.fraction = 0.42;
  status.progress.epoch = 3;
  status.progress.loss = 1.25;
  status.progress.images_per_second = 118;
  status.progress.elapsed_ns = 1'500'000'000;
  status.progress.remaining = {2e9, 2.5e9};
  status.accuracy = 0.61;
  status.stages = {{"conv1", "pool2", {0, 2}, 97.5}, {"fc1", "fc3", {3}, 50}};
  return status;
}

StepReport step_of(std::int64_t wall_ns) {
  StepReport step;
  step.end_ns = wall_ns;
  return step;
}

std::string without_label_values(const std::string& line) {
  return std::regex_replace(line, std::regex(R"("(\\.|[^"\\])*")"), "\"\"");
}

/// The rules of the text format that a scraper relies on.
void expect_valid(const std::string& text) {
  ASSERT_EQ(text.back(), '\n');
  const std::regex comment(R"(# (HELP|TYPE) (millrace_[a-z_]+) (.+))");
  const std::regex sample(
      R"((millrace_[a-z_]+)(\{([a-z_]+="",?)+\})? (NaN|[+-]Inf|-?[0-9.]+(e[+-]?[0-9]+)?))");
  std::map<std::string, std::string> described;  // metric, which comments came
  std::string current;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    line = without_label_values(line);
    if (std::regex_match(line, match, comment)) {
      described[match[2]] += match[1];
      current = match[2];
    } else {
      ASSERT_TRUE(std::regex_match(line, match, sample)) << line;
      EXPECT_EQ(match[1], current) << "samples of a metric stand together";
    }
  }
  for (const auto& [name, comments] : described) EXPECT_EQ(comments, "HELPTYPE") << name;
}

TEST(Prometheus, SaysWhatIsKnown) {
  const std::string text = to_prometheus(example(), step_of(19'000'000));
  expect_valid(text);
  for (const char* line :
       {"# TYPE millrace_steps_total counter\nmillrace_steps_total 420\n",
        "millrace_last_step 1000\n", "millrace_progress_ratio 0.42\n", "millrace_epoch 3\n",
        "millrace_loss 1.25\n", "millrace_accuracy_ratio 0.61\n",
        "millrace_images_per_second 118\n", "millrace_elapsed_seconds 1.5\n",
        "millrace_remaining_expected_seconds 2\n", "millrace_remaining_latest_seconds 2.5\n",
        "millrace_step_seconds 0.019\n", "millrace_run_state{state=\"running\"} 1\n",
        "millrace_run_state{state=\"failed\"} 0\n",
        "millrace_stage_busy_ratio{stage=\"0\",first_layer=\"conv1\",last_layer=\"pool2\",cpus=\"0,"
        "2\"} 0.975\n",
        "millrace_stage_busy_ratio{stage=\"1\",first_layer=\"fc1\",last_layer=\"fc3\",cpus=\"3\"} "
        "0.5\n"})
    EXPECT_THAT(text, HasSubstr(line));
}

TEST(Prometheus, EscapesLabels) {
  EXPECT_THAT(to_prometheus(example(), {}),
              HasSubstr(R"(millrace_run_info{model="a \"quoted\"\\name\n"} 1)"));
}

TEST(Prometheus, HasNoSampleOfWhatIsNotKnown) {
  RunStatus status = example();
  status.accuracy.reset();
  status.progress.last_step.reset();
  status.stages.clear();
  const std::string text = to_prometheus(status, {});
  expect_valid(text);
  for (const char* name : {"accuracy", "last_step", "stage", "step_seconds"})
    EXPECT_THAT(text, Not(HasSubstr(std::string("millrace_") + name)));
  status.state = RunState::preparing;
  expect_valid(to_prometheus(status, {}));
  EXPECT_THAT(to_prometheus(status, {}), Not(HasSubstr("millrace_loss")));
}

TEST(Prometheus, WritesNumbersThatAreNone) {
  RunStatus status = example();
  status.progress.loss = NAN;
  status.progress.remaining.latest_ns = INFINITY;
  const std::string text = to_prometheus(status, {});
  expect_valid(text);
  EXPECT_THAT(text, HasSubstr("millrace_loss NaN\n"));
  EXPECT_THAT(text, HasSubstr("millrace_remaining_latest_seconds +Inf\n"));
}

}  // namespace
}  // namespace millrace
