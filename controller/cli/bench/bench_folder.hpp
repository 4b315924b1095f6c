#pragma once
// Where a benchmark keeps its files while it runs.

#include <csignal>
#include <filesystem>
#include <thread>

namespace millrace::cli {

/// A temporary folder that goes when it ends, and where INT, TERM or HUP ends the process, with the
/// program that runs then (process.hpp). At most one at a time, made before other threads are.
class BenchFolder {
 public:
  /// Throws ResourceError.
  BenchFolder();
  ~BenchFolder();
  BenchFolder(const BenchFolder&) = delete;
  BenchFolder& operator=(const BenchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  void end_by_signal(const std::stop_token& over);

  std::filesystem::path path_;
  sigset_t watched_{}, before_{};
  std::jthread watch_;
};

}  // namespace millrace::cli
