// Trainings that are watched over HTTP while they go on.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <regex>

#include "tests/cli/training_fixture.hpp"
#include "tests/controller/http/raw_http.hpp"

namespace millrace::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Watching : public TrainingTest {
 protected:
  /// The port that the program said it listens on.
  static int port_of(Program& program) {
    EXPECT_TRUE(program.wait_for("/\n")) << program.said();
    std::smatch match;
    const bool found = std::regex_search(program.said(), match,
                                         std::regex(R"(\[http\] .*http://127\.0\.0\.1:(\d+)/)"));
    EXPECT_TRUE(found) << program.said();
    return found ? std::stoi(match[1]) : 0;
  }

  static nlohmann::json running_status(int port) {
    nlohmann::json status = get_json(port, "/status");
    while (status.at("state") == "preparing" || status.at("step") == 0)
      status = get_json(port, "/status");
    return status;
  }
};

TEST_F(Watching, ARunShowsItselfAndEndsItsServer) {
  const std::string out = folder_ / "run";
  Program program(training(out, {"--time", "1h", "--http", "0"}), environment());
  const int port = port_of(program);
  const nlohmann::json status = running_status(port);
  EXPECT_EQ(status.at("state"), "running");
  EXPECT_EQ(status.at("model"), "lenet5");
  EXPECT_GT(status.at("images_per_second"), 0);
  std::vector<std::string> fields, in_file;
  for (const auto& [name, value] : status.items()) fields.push_back(name);
  const auto file = nlohmann::json::parse(run({"status", out, "--json"}).out);
  for (const auto& [name, value] : file.items()) in_file.push_back(name);
  EXPECT_EQ(fields, in_file);
  EXPECT_EQ(status.at("process"), file.at("process"));

  EXPECT_GE(get_json(port, "/history").at("points").at("step").size(), 1u);
  const nlohmann::json step = get_json(port, "/step");
  EXPECT_EQ(step.at("rows").at(0).at("tasks").at(0).at(0), "F");
  EXPECT_THAT(request(port, "/metrics").body,
              AllOf(HasSubstr("millrace_run_state{state=\"running\"} 1\n"),
                    HasSubstr("\nmillrace_stage_busy_ratio{stage=\"0\",first_layer=\"conv1\"")));
  EXPECT_THAT(request(port, "/").body, HasSubstr("<!doctype html>"));

  program.send(SIGTERM);
  const ProgramResult result = program.finish();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THROW(RawConnection connection(port), std::runtime_error);
  EXPECT_THAT(file_text(out + "/config.toml"), HasSubstr("[http]\nport = 0\n"));
}

TEST_F(Watching, AResumeIsWatchedAndShowsWhatCameBefore) {
  const std::string out = folder_ / "run";
  const ProgramResult first = run(training(out, {"--steps", "30"}));
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.err, Not(HasSubstr("[http]")));
  Program program({"resume", out, "--time", "1h", "--http", "0"}, environment());
  const int port = port_of(program);
  const nlohmann::json status = running_status(port);
  EXPECT_GE(status.at("step"), 30);
  const nlohmann::json points = get_json(port, "/history").at("points");
  EXPECT_EQ(points.at("step").at(0), 1);
  EXPECT_GE(points.at("step").size(), 30u);
  program.send(SIGTERM);
  EXPECT_EQ(program.finish().exit_code, 0);
}

TEST_F(Watching, APortThatIsTakenIsRefusedBeforeAnythingIsMeasured) {
  Program program(training(folder_ / "first", {"--time", "1h", "--http", "0"}), environment());
  const std::string port = std::to_string(port_of(program));
  const ProgramResult second = run(training(folder_ / "second", {"--steps", "2", "--http", port}));
  EXPECT_EQ(second.exit_code, 2);
  EXPECT_THAT(second.err, AllOf(HasSubstr("[http] port " + port), HasSubstr("--http 0"),
                                Not(HasSubstr("[profile]")), Not(HasSubstr("[data]"))));
}

}  // namespace
}  // namespace millrace::cli
