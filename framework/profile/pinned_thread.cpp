#include "framework/profile/pinned_thread.hpp"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "framework/affinity/affinity.hpp"

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
      at::init_num_threads();  // would otherwise set the width anew at the first operator
      set_team_width(static_cast<int>(cpus.size()));
      at::GradMode::set_enabled(false);
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
