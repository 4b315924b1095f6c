#include "controller/signals.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string_view>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

constexpr int kExitOfInterrupt = 130;  // 128 + SIGINT, as shells count

// A handler gets nothing but the number, so that what it tells must lie outside any object.
// Lock-free atomics and write() are all that it touches.
std::atomic<bool> watching = false;
std::atomic<StopRequest> stop = StopRequest::none;
std::atomic<bool> checkpoint = false;
static_assert(std::atomic<StopRequest>::is_always_lock_free);
static_assert(std::atomic<bool>::is_always_lock_free);

void say_that_it_stops() {
  constexpr std::string_view text =
      "\n[train] stops as soon as it can, with a checkpoint; Ctrl-C once more ends at once\n";
  const int before = errno;
  if (::write(STDERR_FILENO, text.data(), text.size()) < 0) errno = before;  // nobody listens
}

extern "C" void on_signal(int number) {
  if (number == SIGHUP) {
    checkpoint = true;
  } else if (number == SIGTERM) {
    auto expected = StopRequest::none;
    stop.compare_exchange_strong(expected, StopRequest::terminate);
  } else if (stop.exchange(StopRequest::interrupt) == StopRequest::interrupt) {
    ::_exit(kExitOfInterrupt);
  } else {
    say_that_it_stops();
  }
}

}  // namespace

SignalWatch::SignalWatch() {
  MILLRACE_CHECK(!watching.exchange(true), "signals", "one watch at a time");
  stop = StopRequest::none;
  checkpoint = false;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;  // reading data goes on as if nothing had happened
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &action, &before_[i]);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, &pipe_before_);
}

SignalWatch::~SignalWatch() {
  ::sigaction(SIGPIPE, &pipe_before_, nullptr);
  for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &before_[i], nullptr);
  watching = false;
}

StopRequest SignalWatch::stop_requested() const { return stop; }

bool SignalWatch::take_checkpoint_request() { return checkpoint.exchange(false); }

}  // namespace millrace
