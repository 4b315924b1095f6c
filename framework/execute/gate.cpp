#include "framework/execute/gate.hpp"

#include "millrace/stage.hpp"

namespace millrace {

void Gate::arrive_and_wait(const std::function<void()>& between) {
  std::unique_lock lock(mutex_);
  if (cancelled_) throw Cancelled{};
  if (--missing_ == 0) {
    lock.unlock();
    if (between) between();
    lock.lock();
    open_ = true;
    opened_.notify_all();
  }
  opened_.wait(lock, [&] { return open_ || cancelled_; });
  if (cancelled_) throw Cancelled{};
}

void Gate::cancel() {
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
  }
  opened_.notify_all();
}

void Gate::reset(int expected) {
  const std::lock_guard lock(mutex_);
  missing_ = expected;
  open_ = false;
  cancelled_ = false;
}

}  // namespace millrace
