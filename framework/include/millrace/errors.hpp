#pragma once
// Errors of Millrace: whose fault it is decides the type, and the type decides the exit code.

#include <stdexcept>
#include <string>

namespace millrace {

/// Exit codes of the program; scripts depend on them.
enum class ExitCode : int { done = 0, user = 2, no_plan = 3, resource = 4, internal = 70 };

/// Base of every error that Millrace throws. what() is "[tag] message"; a message names both
/// values, the rule that was broken and the remedy:
/// `[plan] needs 412 MiB, the budget is 256 MiB: allow recompute or lower --micro-batch`.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& tag, const std::string& message)
      : std::runtime_error("[" + tag + "] " + message), code_(code), tag_(tag) {}

  ExitCode code() const { return code_; }
  const std::string& tag() const { return tag_; }

 private:
  ExitCode code_;
  std::string tag_;
};

/// The user's fault: a bad flag, file, plan or data set.
class ConfigError : public Error {
 public:
  ConfigError(const std::string& tag, const std::string& message)
      : Error(ExitCode::user, tag, message) {}
};

/// No plan is feasible. Inside the planner this is a value (PlanFailure, plan.hpp); it becomes an
/// exception only where a caller cannot go on without a plan.
class NoPlanError : public Error {
 public:
  NoPlanError(const std::string& tag, const std::string& message)
      : Error(ExitCode::no_plan, tag, message) {}
};

/// A device failed or refused (a GPU, a core that went off line).
class DeviceError : public Error {
 public:
  DeviceError(const std::string& tag, const std::string& message)
      : Error(ExitCode::resource, tag, message) {}
};

/// A resource ran out or refused (memory, disk, descriptors, permissions of the machine).
class ResourceError : public Error {
 public:
  ResourceError(const std::string& tag, const std::string& message)
      : Error(ExitCode::resource, tag, message) {}
};

/// A bug of Millrace.
class InternalError : public Error {
 public:
  InternalError(const std::string& tag, const std::string& message)
      : Error(ExitCode::internal, tag, message) {}
};

}  // namespace millrace

/// Checks what only a bug of ours can break; never switched off, and free of side effects.
#define MILLRACE_CHECK(condition, tag, message)                                             \
  do {                                                                                      \
    if (!(condition))                                                                       \
      throw ::millrace::InternalError(tag, std::string(message) + " (" + #condition + ")"); \
  } while (false)
