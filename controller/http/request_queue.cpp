#include "controller/http/request_queue.hpp"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>

namespace millrace {
namespace {

constexpr int kThreads = 4;
constexpr std::size_t kMostWaiting = 16;
constexpr int kLowestPriority = 19;

}  // namespace

void become_background() {
  sigset_t all;
  sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  // On Linux a thread has a nice value of its own. Not SCHED_IDLE: where every core trains, it
  // would keep what it holds (a lock of the allocator) from the training for up to seconds.
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kLowestPriority);
}

RequestQueue::RequestQueue() {
  try {
    for (int i = 0; i < kThreads; ++i) {
      threads_.emplace_back([this] {
        become_background();
        work();
      });
    }
  } catch (...) {
    shutdown();
    throw;
  }
}

RequestQueue::~RequestQueue() { shutdown(); }

void RequestQueue::enqueue(std::function<void()> request) {
  {
    std::unique_lock lock(mutex_);
    taken_.wait(lock, [this] { return waiting_.size() < kMostWaiting; });
    waiting_.push_back(std::move(request));
  }
  added_.notify_one();
}

void RequestQueue::shutdown() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  added_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void RequestQueue::work() {
  while (true) {
    std::function<void()> request;
    {
      std::unique_lock lock(mutex_);
      added_.wait(lock, [this] { return !waiting_.empty() || ending_; });
      if (waiting_.empty()) return;
      request = std::move(waiting_.front());
      waiting_.pop_front();
    }
    taken_.notify_one();
    request();
  }
}

}  // namespace millrace
