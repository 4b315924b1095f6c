#pragma once
// The threads that answer requests: few, and of the lowest priority.

#include <httplib.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace millrace {

/// The calling thread gets what other threads leave (nice 19), and no signals.
void become_background();

/// A queue of bounded length: who adds to a full one waits, so that connections wait in the kernel
/// and take no descriptors that the training may need.
class RequestQueue : public httplib::TaskQueue {
 public:
  /// Throws std::system_error where a thread cannot be started.
  RequestQueue();
  ~RequestQueue() override;

  void enqueue(std::function<void()> request) override;
  /// Ends when what waits was run.
  void shutdown() override;

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable added_, taken_;
  std::deque<std::function<void()>> waiting_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace millrace
