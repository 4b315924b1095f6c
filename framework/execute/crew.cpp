#include "framework/execute/crew.hpp"

#include <fmt/format.h>
#include <pthread.h>

#include <system_error>

#include "millrace/errors.hpp"

namespace millrace {

Crew::Crew(const std::vector<std::string>& names) {
  try {
    for (const std::string& name : names) {
      threads_.emplace_back(&Crew::live, this, static_cast<int>(threads_.size()));
      pthread_setname_np(threads_.back().native_handle(), name.substr(0, 15).c_str());
    }
  } catch (const std::system_error& error) {
    const std::size_t made = threads_.size();
    dismiss();
    throw ResourceError("execute",
                        fmt::format("made {} of {} worker threads, then the system refused: {}: "
                                    "raise the limit on processes or use fewer cores",
                                    made, names.size(), error.what()));
  }
}

Crew::~Crew() { dismiss(); }

void Crew::run(const Job& job) {
  std::unique_lock lock(mutex_);
  job_ = &job;
  working_ = threads_.size();
  ++round_;
  called_.notify_all();
  finished_.wait(lock, [&] { return working_ == 0; });
}

void Crew::live(int member) {
  for (std::uint64_t seen = 0;; ++seen) {
    const Job* job = nullptr;
    {
      std::unique_lock lock(mutex_);
      called_.wait(lock, [&] { return dismissed_ || round_ != seen; });
      if (dismissed_) return;
      job = job_;
    }
    (*job)(member);
    const std::lock_guard lock(mutex_);
    if (--working_ == 0) finished_.notify_one();
  }
}

void Crew::dismiss() {
  {
    const std::lock_guard lock(mutex_);
    dismissed_ = true;
  }
  called_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace millrace
