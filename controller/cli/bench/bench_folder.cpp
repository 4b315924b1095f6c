#include "controller/cli/bench/bench_folder.hpp"

#include <pthread.h>
#include <stdlib.h>

#include <string>

#include "controller/cli/bench/process.hpp"
#include "millrace/errors.hpp"

namespace millrace::cli {

namespace fs = std::filesystem;

BenchFolder::BenchFolder() {
  std::string name = (fs::temp_directory_path() / "millrace-bench-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) {
    throw ResourceError("bench",
                        "cannot make a folder " + name + ": set TMPDIR to one that is writable");
  }
  path_ = name;
  sigemptyset(&watched_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&watched_, signal);
  pthread_sigmask(SIG_BLOCK, &watched_, &before_);
  watch_ = std::jthread([this](const std::stop_token& over) { end_by_signal(over); });
}

BenchFolder::~BenchFolder() {
  watch_.request_stop();
  pthread_kill(watch_.native_handle(), SIGHUP);  // it waits for one
  watch_.join();
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void BenchFolder::end_by_signal(const std::stop_token& over) {
  int received = 0;
  sigwait(&watched_, &received);
  if (over.stop_requested()) return;
  Process::halt_running();
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  std::signal(received, SIG_DFL);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, received);
  pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  raise(received);
}

}  // namespace millrace::cli
