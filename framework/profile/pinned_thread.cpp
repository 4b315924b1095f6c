#include "framework/profile/pinned_thread.hpp"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "framework/affinity/affinity.hpp"
#include "framework/layers/compute_thread.hpp"

namespace millrace {

struct PinnedThread::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::function<void()> work;  // empty: idle
  std::exception_ptr failure;
  bool leave = false;
  std::thread thread;

  void loop() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return leave || work; });
      if (leave) return;
      lock.unlock();
      std::exception_ptr thrown;
      try {
        work();
      } catch (...) {
        thrown = std::current_exception();
      }
      lock.lock();
      work = nullptr;
      failure = thrown;
      changed.notify_all();
    }
  }
};

PinnedThread::PinnedThread(std::vector<int> cpus) : shared_(std::make_unique<Shared>()) {
  shared_->thread = std::thread([shared = shared_.get()] { shared->loop(); });
  try {
    run([&cpus] {
      bind_this_thread(cpus);
      compute_with(static_cast<int>(cpus.size()));
    });
  } catch (...) {
    stop();
    throw;
  }
}

PinnedThread::~PinnedThread() { stop(); }

void PinnedThread::stop() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->leave = true;
  }
  shared_->changed.notify_all();
  shared_->thread.join();
}

void PinnedThread::run(std::function<void()> work) {
  start(std::move(work));
  finish();
}

void PinnedThread::start(std::function<void()> work) {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->work = std::move(work);
  }
  shared_->changed.notify_all();
}

void PinnedThread::finish() {
  std::unique_lock lock(shared_->mutex);
  shared_->changed.wait(lock, [&] { return !shared_->work; });
  if (shared_->failure) std::rethrow_exception(std::exchange(shared_->failure, nullptr));
}

}  // namespace millrace
