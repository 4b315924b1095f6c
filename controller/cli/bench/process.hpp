#pragma once
// Runs one program of the benchmark and says what it printed and how much memory it took.

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace millrace::cli {

struct ProcessSpec {
  std::vector<std::string> command;                ///< program and arguments
  std::vector<int> cpus;                           ///< pinned to these; empty: as the caller is
  std::map<std::string, std::string> environment;  ///< added to clean_environment()
  std::string errors;  ///< file that standard error is appended to; empty: it is the caller's
};

struct ProcessResult {
  std::string output;  ///< standard output; standard error is the caller's
  std::int64_t peak_rss_bytes = 0;
};

/// This process's environment without the variables that slow numeric libraries or redirect them
/// (OMP_*, OPENBLAS_*, MKL_*, LD_PRELOAD, …), so that every entry runs as it comes; with
/// OPENBLAS_CORETYPE where OpenBLAS would choose slow kernels (faster_blas_core).
std::map<std::string, std::string> clean_environment();

/// A program that runs; it is killed where it still does when the object goes, or the thread that
/// made it ends, with the process or without. Not thread-safe.
class Process {
 public:
  /// Throws ResourceError.
  explicit Process(const ProcessSpec& spec);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t id() const { return child_; }
  /// Whether it ends, or has ended, within `milliseconds`.
  bool ends_within(int milliseconds);
  void kill();
  /// As run_process(), for a program that was killed by kill(), too: its output is then cut short.
  ProcessResult finish();

  /// Before this process ends: the newest that still runs is stopped amid its work, and no other is
  /// started, nor does one that was end its object's wait. From any thread, once.
  static void halt_running();

 private:
  /// Static, as a signal concerns the process: nobody who hears of it has the object.
  static std::mutex starting_;
  static pid_t running_;  ///< -1: none; guarded by starting_

  std::string program_;
  pid_t child_ = -1;
  int reading_ = -1;
  bool killed_ = false;
  std::string output_;
};

/// Waits for the program. Peak memory is the kernel's count, which is never below this process's
/// own size, so the caller stays small. Throws an Error with the program's exit code where that is
/// one of ours, InternalError where it was killed or gave another.
ProcessResult run_process(const ProcessSpec& spec);

}  // namespace millrace::cli
