#include "controller/cli/bench/bench_folder.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "controller/cli/bench/process.hpp"
#include "millrace/errors.hpp"

namespace millrace::cli {
namespace {

namespace fs = std::filesystem;

/// Of those that end a process the ones that its caller has not told it to ignore.
sigset_t ending_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction now {};
    sigaction(signal, nullptr, &now);
    if (now.sa_handler != SIG_IGN) sigaddset(&set, signal);
  }
  return set;
}

fs::path new_folder() {
  std::error_code none;
  const fs::path temporary = fs::temp_directory_path(none);
  std::string name = (temporary / "millrace-bench-XXXXXX").string();
  if (none || mkdtemp(name.data()) == nullptr) {
    throw ResourceError("bench", fmt::format("cannot make a folder {}: {}: set TMPDIR to one that "
                                             "is writable",
                                             name, none ? none.message() : std::strerror(errno)));
  }
  return name;
}

}  // namespace

BenchFolder::BenchFolder() : path_(new_folder()), watched_(ending_signals()) {
  signals_ = signalfd(-1, &watched_, SFD_CLOEXEC);
  over_ = eventfd(0, EFD_CLOEXEC);
  pthread_sigmask(SIG_BLOCK, &watched_, &before_);
  try {
    if (signals_ < 0 || over_ < 0) throw std::system_error(errno, std::generic_category());
    watch_ = std::thread([this] { watch_signals(); });
  } catch (const std::system_error& refused) {
    release();
    throw ResourceError("bench", fmt::format("signals cannot be watched: {}: raise the limit of "
                                             "threads or of open files",
                                             refused.what()));
  }
}

BenchFolder::~BenchFolder() {
  eventfd_write(over_, 1);
  watch_.join();
  release();
}

void BenchFolder::release() const {
  remove();
  if (signals_ >= 0) ::close(signals_);
  if (over_ >= 0) ::close(over_);
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);  // one that has come since ends the process here
}

/// Whatever else the process still writes there.
void BenchFolder::remove() const {
  std::error_code ignored;
  for (int i = 0; i < 10 && fs::exists(path_, ignored); ++i) fs::remove_all(path_, ignored);
}

void BenchFolder::watch_signals() {
  std::array<pollfd, 2> awaited = {{{signals_, POLLIN, 0}, {over_, POLLIN, 0}}};
  while (::poll(awaited.data(), awaited.size(), -1) < 0 && errno == EINTR) {
  }
  if (awaited[0].revents != 0) end_by_signal();
}

void BenchFolder::end_by_signal() {
  signalfd_siginfo received{};
  if (::read(signals_, &received, sizeof received) != sizeof received) return;
  Process::halt_running();
  remove();
  const auto signal = static_cast<int>(received.ssi_signo);
  std::signal(signal, SIG_DFL);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  ::raise(signal);
  ::_exit(128 + signal);  // the first process of a container does not end of it
}

}  // namespace millrace::cli
