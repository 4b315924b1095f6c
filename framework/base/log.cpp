#include "millrace/log.hpp"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace millrace {
namespace {

spdlog::logger& logger() {
  static const auto instance = [] {
    const auto mode =
        stderr_is_terminal() ? spdlog::color_mode::automatic : spdlog::color_mode::never;
    auto made = std::make_shared<spdlog::logger>(
        "millrace", std::make_shared<spdlog::sinks::stderr_color_sink_mt>(mode));
    made->set_pattern("%^%v%$");
    return made;
  }();
  return *instance;
}

}  // namespace

void set_verbosity(Verbosity verbosity) {
  const auto level = verbosity == Verbosity::quiet    ? spdlog::level::warn
                     : verbosity == Verbosity::normal ? spdlog::level::info
                                                      : spdlog::level::debug;
  logger().set_level(level);
}

Verbosity verbosity() {
  switch (logger().level()) {
    case spdlog::level::trace:
    case spdlog::level::debug:
      return Verbosity::verbose;
    case spdlog::level::info:
      return Verbosity::normal;
    default:
      return Verbosity::quiet;
  }
}

void log_debug(const std::string& tag, const std::string& message) {
  logger().debug("[{}] {}", tag, message);
}
void log_info(const std::string& tag, const std::string& message) {
  logger().info("[{}] {}", tag, message);
}
void log_warning(const std::string& tag, const std::string& message) {
  logger().warn("warning: [{}] {}", tag, message);
}
void log_error(const std::string& message) { logger().error("error: {}", message); }

bool stderr_is_terminal() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && (no_color == nullptr || *no_color == '\0') &&
         terminal != nullptr && std::strcmp(terminal, "dumb") != 0;
}

}  // namespace millrace
