#include "framework/stages/barrier.hpp"

#include <chrono>

#include "framework/base/spin.hpp"
#include "millrace/stage.hpp"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

thread_local Clock::duration waited{};

}  // namespace

std::int64_t Barrier::waited_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(waited).count();
}

void Barrier::arrive_and_wait() {
  std::unique_lock lock(mutex_);
  if (cancelled_) throw Cancelled{};
  if (++arrived_ == workers_) {
    arrived_ = 0;
    ++round_;
    released_.notify_all();
    return;
  }
  const unsigned round = round_;
  const auto released = [&] { return cancelled_ || round_ != round; };
  lock.unlock();
  const Clock::time_point arrived = Clock::now();
  spin_until(released);
  lock.lock();
  released_.wait(lock, released);
  waited += Clock::now() - arrived;
  if (round_ == round) throw Cancelled{};
}

void Barrier::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  released_.notify_all();
}

void Barrier::reset() {
  const std::lock_guard lock(mutex_);
  cancelled_ = false;
  arrived_ = 0;
}

}  // namespace millrace
