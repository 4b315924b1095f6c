#pragma once
// Flags of the bench programs, which `millrace bench` starts: `--key value` pairs.

#include <map>
#include <string>

namespace millrace::bench {

class Arguments {
 public:
  /// Throws std::invalid_argument where a flag has no value.
  Arguments(int argc, const char* const* argv);

  /// Throw std::invalid_argument that names the flag where it is missing or not a positive number.
  const std::string& text(const std::string& flag) const;
  int positive(const std::string& flag) const;

 private:
  std::map<std::string, std::string> values_;
};

/// Runs `body`, reports an exception on standard error and turns it into an exit code.
int guarded(int (*body)(const Arguments&), int argc, const char* const* argv);

}  // namespace millrace::bench
