#include "controller/http/watch_server.hpp"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "controller/http/page.hpp"
#include "controller/http/prometheus.hpp"
#include "controller/http/step_timeline.hpp"
#include "controller/steady_clock.hpp"

namespace millrace {
namespace {

constexpr std::int64_t kAttentive_ns = 3'000'000'000;  // the page asks at least every 2 s
constexpr const char* kJson = "application/json";

bool goes_on(RunState state) { return state == RunState::preparing || state == RunState::running; }

RunStatus preparing(const std::string& model) {
  RunStatus status;
  status.state = RunState::preparing;
  status.model = model;
  return status;
}

}  // namespace

WatchServer::WatchServer(const Settings& settings)
    : rate_unit_(settings.rate_unit),
      last_word_ns_(settings.last_word_ns),
      latest_(std::make_shared<const Snapshot>(Snapshot{preparing(settings.model), {}})),
      history_(settings.metrics),
      server_(settings.port, [this](const std::string& path) { return answer(path); }) {}

WatchServer::~WatchServer() {
  std::unique_lock lock(mutex_);
  if (goes_on(latest_->status.state)) return;
  const std::int64_t now_ns = steady_ns();
  told_.wait_for(lock, std::chrono::nanoseconds(last_word_ns_),
                 [&] { return !of_status_.waits(now_ns) && !of_history_.waits(now_ns); });
}

bool WatchServer::Audience::waits(std::int64_t now_ns) const {
  return !end_told && asked_ns > 0 && now_ns - asked_ns < kAttentive_ns;
}

std::string WatchServer::address() const { return fmt::format("http://127.0.0.1:{}/", port()); }

void WatchServer::publish(const RunStatus& status, const StepReport& last) {
  auto next = std::make_shared<const Snapshot>(Snapshot{status, last});
  std::unique_lock lock(mutex_, std::defer_lock);
  if (!goes_on(status.state)) {
    lock.lock();  // nothing trains any more, and this state must not be missed
  } else if (!lock.try_lock()) {
    return;
  }
  latest_.swap(next);
  lock.unlock();  // before the earlier one is freed
}

std::shared_ptr<const WatchServer::Snapshot> WatchServer::snapshot() const {
  const std::lock_guard lock(mutex_);
  return latest_;
}

void WatchServer::told(Audience& audience, bool last) {
  {
    const std::lock_guard lock(mutex_);
    audience = {steady_ns(), audience.end_told || last};
  }
  told_.notify_all();
}

HttpReply WatchServer::answer(const std::string& path) {
  const std::shared_ptr<const Snapshot> now = snapshot();
  const bool ended = !goes_on(now->status.state);
  if (path == "/history") {
    MetricsHistory::Answer course = history(*now);
    told(of_history_, ended && course.complete);
    return {200, kJson, std::move(course.json)};
  }
  HttpReply reply = reply_to(path, *now);
  if (path == "/status") told(of_status_, ended);
  return reply;
}

MetricsHistory::Answer WatchServer::history(const Snapshot& now) {
  // An earlier run's file lies there while this one is prepared.
  const bool begun = now.status.state != RunState::preparing;
  return begun ? history_.answer(rate_unit_) : MetricsHistory("").answer(rate_unit_);
}

HttpReply WatchServer::reply_to(const std::string& path, const Snapshot& now) {
  if (path == "/") return {200, "text/html; charset=utf-8", page()};
  if (path == "/status") return {200, kJson, to_json(now.status)};
  if (path == "/metrics")
    return {200, "text/plain; version=0.0.4; charset=utf-8", to_prometheus(now.status, now.step)};
  if (path == "/step") return {200, kJson, step_timeline(now.status.stages, now.step)};
  return {404, "text/plain; charset=utf-8",
          "there is no such page: / shows the run, /status, /metrics, /history and /step are for "
          "programs\n"};
}

}  // namespace millrace
