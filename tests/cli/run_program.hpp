#pragma once
// Runs the built program as a user would, and small things around it.

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace millrace::cli {

using Environment = std::map<std::string, std::string>;

struct ProgramResult {
  int exit_code = -1;  ///< -1: ended by a signal
  int signal = 0;
  std::string out, err;
};

/// A started `millrace`; killed where it still runs at the end.
class Program {
 public:
  explicit Program(const std::vector<std::string>& arguments, const Environment& more = {});
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  /// Reads standard error until `text` was written. False where the program ended before.
  bool wait_for(const std::string& text);
  /// What was read of standard error so far.
  const std::string& said() const { return result_.err; }
  void send(int signal) const;
  /// Waits for the end.
  ProgramResult finish();

 private:
  bool read_more();

  pid_t child_ = -1;
  int out_ = -1, err_ = -1;
  ProgramResult result_;
};

/// Runs `millrace` with these arguments to its end.
ProgramResult run_millrace(const std::vector<std::string>& arguments, const Environment& more = {});

/// A folder of its own for one test, removed at the end.
class TestFolder {
 public:
  TestFolder();
  ~TestFolder();
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  /// Writes a file and returns its path.
  std::string write(const std::string& name, const std::string& text) const;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string file_text(const std::filesystem::path& path);

}  // namespace millrace::cli
