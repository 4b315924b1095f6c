#pragma once
// Steps that fail: of a worker's exception, for want of memory, of a file that cannot be read. Each
// is trained once more.

#include <cstdint>
#include <exception>
#include <string>

namespace millrace {

/// Those of a process. Not thread-safe.
struct StepFailures {
  /// What failed in training the step behind step `trained`. Whether it may be tried again: not a
  /// second time, and not what would fail again or would hide a bug (ConfigError, NoPlanError,
  /// InternalError).
  bool note(std::int64_t trained, const std::exception_ptr& exception);

  std::int64_t count = 0;  ///< of those that were tried again
  std::int64_t step = -1;  ///< steps before the last one
  std::string reason;
  bool memory = false;  ///< there was too little
  bool unsaid = false;  ///< not in the log yet
};

/// A step failed amid its update: only a checkpoint has a whole state.
struct LostStep {
  std::exception_ptr cause;
};

}  // namespace millrace
