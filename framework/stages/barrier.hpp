#pragma once
// Where the workers of a stage wait for each other.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace millrace {

/// A barrier of `workers` threads, used again and again, that can be called off. Who waits for more
/// than a moment is parked: the workers of a stage may outnumber its cores for a while.
/// Thread-safe.
class Barrier {
 public:
  explicit Barrier(int workers) : workers_(workers) {}

  /// Returns when all workers have arrived. What they wrote before is visible after.
  /// Throws Cancelled when cancel() was or is called before they have.
  void arrive_and_wait();

  /// What the calling thread has waited in all barriers, in all.
  static std::int64_t waited_ns();

  /// Lets every waiting and every later arrival throw, until reset().
  void cancel();

  /// No thread is inside.
  void reset();

 private:
  const int workers_;
  std::mutex mutex_;
  std::condition_variable released_;
  int arrived_ = 0;                      // guarded by mutex_
  std::atomic<unsigned> round_ = 0;      // written under mutex_
  std::atomic<bool> cancelled_ = false;  // written under mutex_
};

}  // namespace millrace
