#pragma once
// Where a benchmark keeps its files while it runs.

#include <csignal>
#include <filesystem>
#include <thread>

namespace millrace::cli {

/// A temporary folder that goes at the end, whether its owner ends or INT, TERM or HUP ends the
/// process; the program that runs then (process.hpp) ends with it. Signals that are ignored, as
/// under nohup, stay so. One at a time, made before any other thread: threads inherit what is
/// blocked.
class BenchFolder {
 public:
  /// Throws ResourceError.
  BenchFolder();
  ~BenchFolder();
  BenchFolder(const BenchFolder&) = delete;
  BenchFolder& operator=(const BenchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  void watch_signals();
  void end_by_signal();
  void release() const;
  void remove() const;

  std::filesystem::path path_;
  sigset_t watched_{}, before_{};
  int signals_ = -1;  // readable when one of them has come
  int over_ = -1;     // readable when there is nothing more to watch
  std::thread watch_;
};

}  // namespace millrace::cli
