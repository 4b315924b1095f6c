#include "bench/arguments.hpp"

#include <cstdio>
#include <stdexcept>

#include "millrace/errors.hpp"

namespace millrace::bench {

Arguments::Arguments(int argc, const char* const* argv) {
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 == argc) throw std::invalid_argument(std::string(argv[i]) + " has no value");
    values_[argv[i]] = argv[i + 1];
  }
}

const std::string& Arguments::text(const std::string& flag) const {
  const auto found = values_.find(flag);
  if (found == values_.end()) throw std::invalid_argument(flag + " is missing");
  return found->second;
}

int Arguments::positive(const std::string& flag) const {
  const int value = std::stoi(text(flag));
  if (value <= 0) throw std::invalid_argument(flag + " needs a number above 0");
  return value;
}

int guarded(int (*body)(const Arguments&), int argc, const char* const* argv) {
  try {
    return body(Arguments(argc, argv));
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "%s: %s (`millrace bench` starts this program)\n", argv[0], error.what());
    return static_cast<int>(ExitCode::user);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return static_cast<int>(ExitCode::internal);
  }
}

}  // namespace millrace::bench
