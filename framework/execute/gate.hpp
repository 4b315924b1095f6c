#pragma once
// A barrier that can be cancelled: all arrive, one thing happens once, all go on.

#include <condition_variable>
#include <functional>
#include <mutex>

namespace millrace {

/// Thread-safe but for reset(). A waiting thread is parked.
class Gate {
 public:
  /// Waits until `expected` threads have arrived. The last one runs `between` (may be empty) before
  /// any goes on; where it throws, the exception leaves that thread's call and the others wait on
  /// until cancel(). Throws Cancelled after cancel().
  void arrive_and_wait(const std::function<void()>& between);

  /// Makes every call throw Cancelled, now and until reset().
  void cancel();
  /// Closes the gate for the next `expected` threads. No other call may be running.
  void reset(int expected);

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  int missing_ = 0;         // guarded by mutex_
  bool open_ = false;       // guarded by mutex_
  bool cancelled_ = false;  // guarded by mutex_
};

}  // namespace millrace
