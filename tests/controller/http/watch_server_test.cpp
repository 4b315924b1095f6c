#include "controller/http/watch_server.hpp"

#include <gmock/gmock.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "controller/metrics.hpp"
#include "tests/controller/fake_session.hpp"
#include "tests/controller/http/raw_http.hpp"
#include "tests/controller/scratch_folder.hpp"

namespace millrace {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class Watch : public ScratchFolder {
 protected:
  static RunStatus status(RunState state, std::int64_t step) {
    RunStatus status;
    status.state = state;
    status.process = {12, 34};
    status.model = "lenet5";
    status.progress.step = step;
    status.progress.loss = 1.5;
    status.stages = {{"conv1", "fc3", {0, 1}, 50}};
    return status;
  }
  static StepReport step(std::int64_t number) {
    StepReport report;
    report.step = number;
    report.end_ns = 100;
    report.tasks = {{{0, ActionKind::forward, 0}, 0, 0, 0, 60}};
    return report;
  }

  std::unique_ptr<WatchServer> server_ = std::make_unique<WatchServer>(
      WatchServer::Settings{0, "lenet5", "img/s", scratch_ / "metrics.jsonl", 60'000'000'000});
  const int port_ = server_->port();
};

TEST_F(Watch, SaysThatTheRunIsPrepared) {
  const json status = get_json(port_, "/status");
  EXPECT_EQ(status.at("state"), "preparing");
  EXPECT_EQ(status.at("model"), "lenet5");
  EXPECT_THAT(request(port_, "/metrics").body,
              HasSubstr("millrace_run_state{state=\"preparing\"} 1\n"));
  EXPECT_EQ(get_json(port_, "/step").at("rows"), json::array());
  MetricsLog(scratch_ / "metrics.jsonl", 0).add(StepMetrics{.step = 9});  // of the run before
  EXPECT_EQ(get_json(port_, "/history").at("points").at("step"), json::array());
}

TEST_F(Watch, ShowsWhatWasPublishedLast) {
  MetricsLog(scratch_ / "metrics.jsonl", 0).add(StepMetrics{.step = 7});
  server_->publish(status(RunState::running, 6), step(5));
  server_->publish(status(RunState::running, 7), step(6));
  EXPECT_EQ(request(port_, "/status").body, to_json(status(RunState::running, 7)));
  EXPECT_THAT(request(port_, "/metrics").body, HasSubstr("millrace_steps_total 7\n"));
  EXPECT_EQ(get_json(port_, "/step").at("step"), 7);
  EXPECT_EQ(get_json(port_, "/step").at("rows").at(0).at("tasks").at(0), json({"F", 0, 0, 0, 60}));
  EXPECT_EQ(get_json(port_, "/history").at("points").at("step"), json({7}));
}

TEST_F(Watch, NamesTheTypeOfEachAnswer) {
  server_->publish(status(RunState::running, 1), step(0));
  for (const char* path : {"/status", "/step", "/history"})
    EXPECT_THAT(request(port_, path).head, HasSubstr("Content-Type: application/json"));
  EXPECT_THAT(request(port_, "/metrics").head,
              HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8"));
}

TEST_F(Watch, HasAPageThatNeedsNothingElse) {
  const RawReply page = request(port_, "/");
  EXPECT_EQ(page.status, 200);
  EXPECT_THAT(page.head, HasSubstr("Content-Type: text/html; charset=utf-8"));
  EXPECT_THAT(page.body, AllOf(HasSubstr("<!doctype html>"), HasSubstr("</html>"),
                               Not(HasSubstr("https://")), Not(HasSubstr(" src="))));
}

TEST_F(Watch, NamesWhatThereIsWhereThePathIsUnknown) {
  for (const char* path : {"/nothing", "/status/", "//", "/../etc/passwd", "/STATUS"}) {
    const RawReply reply = request(port_, path);
    EXPECT_EQ(reply.status, 404) << path;
    EXPECT_THAT(reply.body, AllOf(HasSubstr("/status"), HasSubstr("/metrics")));
  }
}

TEST_F(Watch, TellsWhoWatchesHowTheRunEnded) {
  get_json(port_, "/status");
  std::thread watcher([this] {
    while (get_json(port_, "/status").at("state") != "finished") {
    }
  });
  server_->publish(status(RunState::running, 8), step(7));
  server_->publish(status(RunState::finished, 9), step(8));
  server_.reset();  // not before the watcher has heard of it
  watcher.join();
}

TEST_F(Watch, TellsAPageTheWholeCourseBeforeItEnds) {
  server_->publish(status(RunState::running, 8), step(7));
  get_json(port_, "/status");
  get_json(port_, "/history");
  MetricsLog(scratch_ / "metrics.jsonl", 0).add(StepMetrics{.step = 9});
  server_->publish(status(RunState::finished, 9), step(8));
  std::thread ending([this] { server_.reset(); });
  EXPECT_EQ(get_json(port_, "/status").at("state"), "finished");
  EXPECT_EQ(get_json(port_, "/step").at("step"), 9);
  EXPECT_EQ(get_json(port_, "/history").at("points").at("step"), json({9}));
  ending.join();
}

TEST_F(Watch, TellsAPageTheWholeOfALongCourseBeforeItEnds) {
  server_->publish(status(RunState::running, 8), step(7));
  get_json(port_, "/status");
  get_json(port_, "/history");
  {
    std::ofstream metrics(scratch_ / "metrics.jsonl");
    std::string padding(1024, ' ');
    padding.back() = '\n';
    for (std::size_t i = 0; i < MetricsHistory::kReadBytes / padding.size(); ++i)
      metrics << padding;
    metrics << R"({"kind": "step", "step": 9})" << '\n';
  }
  server_->publish(status(RunState::finished, 9), step(8));
  const std::jthread ending([this] { server_.reset(); });
  EXPECT_EQ(get_json(port_, "/status").at("state"), "finished");
  const json first = get_json(port_, "/history");
  EXPECT_EQ(first.at("complete"), false);
  EXPECT_EQ(first.at("points").at("step"), json::array());
  const json second = get_json(port_, "/history");
  EXPECT_EQ(second.at("complete"), true);
  EXPECT_EQ(second.at("points").at("step"), json({9}));
}

TEST_F(Watch, IsReadWhileItIsWritten) {
  std::atomic<bool> ended = false;
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!ended) {
        const json now = get_json(port_, "/status");
        EXPECT_THAT(now.at("state"), testing::AnyOf("preparing", "running"));
        EXPECT_EQ(request(port_, "/step").status, 200);
      }
    });
  }
  for (int i = 1; i <= 20'000; ++i) server_->publish(status(RunState::running, i), step(i - 1));
  ended = true;
  for (std::thread& reader : readers) reader.join();
}

TEST_F(Watch, OfATrainingGetsEachState) {
  FakeSession session(4);
  const RunFolder folder = RunFolder::create(scratch_ / "run", false);
  RecordingObserver observer;
  TrainingSettings settings = fake_settings(session, 4);
  settings.on_status = [this](const RunStatus& now, const StepReport& last) {
    server_->publish(now, last);
  };
  session.before_step = [this](std::int64_t step) {
    EXPECT_EQ(get_json(port_, "/status").at("state"), step == 4 ? "finished" : "running");
  };
  run_training(session, folder, settings, observer);
  const json status = get_json(port_, "/status");
  EXPECT_EQ(status.at("state"), "finished");
  EXPECT_EQ(status.at("step"), 4);
  EXPECT_EQ(status.at("stages").size(), session.plan().stages.size());
  EXPECT_EQ(get_json(port_, "/step").at("rows").size(), 1u);
}

}  // namespace
}  // namespace millrace
