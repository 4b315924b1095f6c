#include "controller/http/watch_server.hpp"

#include <fmt/format.h>

#include <chrono>

#include "controller/http/page.hpp"
#include "controller/http/prometheus.hpp"
#include "controller/http/step_timeline.hpp"

namespace millrace {
namespace {

constexpr std::int64_t kAttentive_ns = 2'000'000'000;  // the page asks twice a second
constexpr const char* kJson = "application/json";

std::int64_t clock_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

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
      latest_(std::make_shared<const Snapshot>(Snapshot{preparing(settings.model), {}})),
      history_(settings.metrics),
      server_(settings.port, [this](const std::string& path) { return answer(path); }) {}

WatchServer::~WatchServer() {
  std::unique_lock lock(mutex_);
  const bool watched = asked_ns_ > 0 && clock_ns() - asked_ns_ < kAttentive_ns;
  if (watched && !goes_on(latest_->status.state))
    told_.wait_for(lock, std::chrono::nanoseconds(kLastWord_ns), [this] { return end_told_; });
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

HttpReply WatchServer::status_reply() {
  std::unique_lock lock(mutex_);
  const std::shared_ptr<const Snapshot> now = latest_;
  asked_ns_ = clock_ns();
  end_told_ = !goes_on(now->status.state);
  lock.unlock();
  told_.notify_all();
  return {200, kJson, to_json(now->status)};
}

HttpReply WatchServer::answer(const std::string& path) {
  if (path == "/") return {200, "text/html; charset=utf-8", page()};
  if (path == "/status") return status_reply();
  const std::shared_ptr<const Snapshot> now = snapshot();
  if (path == "/metrics")
    return {200, "text/plain; version=0.0.4; charset=utf-8", to_prometheus(now->status, now->step)};
  if (path == "/step") return {200, kJson, step_timeline(now->status.stages, now->step)};
  if (path == "/history") {
    // An earlier run's file lies there while this one is prepared.
    const bool begun = now->status.state != RunState::preparing;
    return {200, kJson, begun ? history_.json(rate_unit_) : MetricsHistory("").json(rate_unit_)};
  }
  return {404, "text/plain; charset=utf-8",
          "there is no such page: / shows the run, /status, /metrics, /history and /step are for "
          "programs\n"};
}

}  // namespace millrace
