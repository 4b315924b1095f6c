#pragma once
// Progress, logs and warnings: always standard error, never standard output. Thread-safe.

#include <string>

namespace millrace {

enum class Verbosity { quiet, normal, verbose };

/// Sets how much is logged: quiet shows warnings and errors only.
void set_verbosity(Verbosity verbosity);
Verbosity verbosity();

void log_debug(const std::string& tag, const std::string& message);
void log_info(const std::string& tag, const std::string& message);
void log_warning(const std::string& tag, const std::string& message);
void log_error(const std::string& message);

/// True where standard error is a terminal that takes colours and bars (NO_COLOR and TERM=dumb
/// are respected).
bool stderr_is_terminal();

}  // namespace millrace
