#include "controller/step_failure.hpp"

#include <new>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

struct Cause {
  std::string text;
  bool memory = false;
  bool may_pass = true;  // another time
};

Cause cause_of(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const std::bad_alloc&) {
    return {"the system has no more memory", true, true};
  } catch (const Error& error) {
    return {error.what(), error.tag() == "memory", error.code() == ExitCode::resource};
  } catch (const std::exception& error) {
    return {error.what(), false, true};
  } catch (...) {
    return {"an exception of unknown type", false, true};
  }
}

}  // namespace

bool StepFailures::note(std::int64_t trained, const std::exception_ptr& exception) {
  const Cause cause = cause_of(exception);
  if (!cause.may_pass || trained == step) return false;
  ++count;
  step = trained;
  reason = cause.text;
  memory = cause.memory;
  unsaid = true;
  return true;
}

}  // namespace millrace
