#pragma once
// What people and systems ask of a running training by signals.

#include <array>
#include <csignal>

namespace millrace {

/// INT (ctrl-C): end after this step with a checkpoint, which standard error says at once; a second
/// one ends the process at once (130). TERM: the same once, and a second one changes nothing. HUP:
/// a checkpoint, and go on.
enum class StopRequest { none, interrupt, terminate };

/// Watches the signals while it lives, then restores what was set before. At most one at a time
/// (InternalError). Also where the caller had ignored them: shells start background jobs so, and a
/// signal sent by name is meant. Meanwhile a pipe that nobody reads any more ends nothing: what is
/// said to it is lost.
class SignalWatch {
 public:
  SignalWatch();
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  StopRequest stop_requested() const;
  /// True once for each HUP since the last call (several may count as one).
  bool take_checkpoint_request();

 private:
  static constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGHUP};
  std::array<struct sigaction, kSignals.size()> before_{};
  struct sigaction pipe_before_ {};
};

}  // namespace millrace
