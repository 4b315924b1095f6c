#pragma once
// A run's state as Prometheus reads it: the text exposition format, version 0.0.4.

#include <string>

#include "controller/run_status.hpp"

namespace millrace {

/// `last`: the newest step. A value that is not known yet (an accuracy before the first evaluation)
/// has no sample.
std::string to_prometheus(const RunStatus& status, const StepReport& last);

}  // namespace millrace
