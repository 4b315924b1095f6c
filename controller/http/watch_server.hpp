#pragma once
// What a run shows of itself over HTTP while it goes on (docs/watching.md).

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "controller/http/loopback_server.hpp"
#include "controller/http/metrics_history.hpp"
#include "controller/run_status.hpp"
#include "millrace/step_report.hpp"

namespace millrace {

/// Answers /status, /metrics, /history, /step and / (the page that shows them).
///
/// publish() is the training's only part in it: one pointer is exchanged, and the threads that
/// answer make texts of what it points to.
class WatchServer {
 public:
  struct Settings {
    int port = 0;  ///< 0: any that is free
    std::string model;
    std::string rate_unit = "img/s";          ///< of the speed
    std::filesystem::path metrics;            ///< metrics.jsonl
    std::int64_t last_word_ns = 700'000'000;  ///< for which the end of a watched run waits at most
  };

  /// Until publish() the run is "preparing". Throws as LoopbackServer.
  explicit WatchServer(const Settings& settings);
  /// A run that has ended is first shown to those who asked for /status or /history in the last
  /// seconds.
  ~WatchServer();
  WatchServer(const WatchServer&) = delete;
  WatchServer& operator=(const WatchServer&) = delete;

  int port() const { return server_.port(); }
  /// "http://127.0.0.1:8080/"
  std::string address() const;

  /// `last`: the newest step. Never waits while the run goes on: where a thread that answers is
  /// just taking the earlier state, that one stays until the next call.
  void publish(const RunStatus& status, const StepReport& last);

 private:
  struct Snapshot {
    RunStatus status;
    StepReport step;
  };

  /// Who asks again and again for something.
  struct Audience {
    std::int64_t asked_ns = 0;  ///< when last; 0: never
    bool end_told = false;      ///< it was then told all that there is of a state that lasts
    bool waits(std::int64_t now_ns) const;
  };

  HttpReply answer(const std::string& path);
  HttpReply reply_to(const std::string& path, const Snapshot& now);
  MetricsHistory::Answer history(const Snapshot& now);
  std::shared_ptr<const Snapshot> snapshot() const;
  /// Notes that an answer is on its way; `last`: nothing comes after what it says.
  void told(Audience& audience, bool last);

  const std::string rate_unit_;
  const std::int64_t last_word_ns_;
  mutable std::mutex mutex_;
  std::condition_variable told_;
  std::shared_ptr<const Snapshot> latest_;  // guarded by mutex_, as what follows
  Audience of_status_, of_history_;
  MetricsHistory history_;
  LoopbackServer server_;  // the last member: its threads use the others
};

}  // namespace millrace
