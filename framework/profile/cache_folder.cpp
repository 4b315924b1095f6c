#include <cstdlib>
#include <filesystem>

#include "millrace/profiler.hpp"

namespace millrace {
namespace {

const char* set_variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : nullptr;
}

}  // namespace

std::string default_cache_folder() {
  if (const char* own = set_variable("MILLRACE_CACHE")) return own;
  if (const char* caches = set_variable("XDG_CACHE_HOME")) {
    return std::filesystem::path(caches) / "millrace";
  }
  if (const char* home = set_variable("HOME")) {
    return std::filesystem::path(home) / ".cache" / "millrace";
  }
  return std::filesystem::temp_directory_path() / "millrace";
}

}  // namespace millrace
