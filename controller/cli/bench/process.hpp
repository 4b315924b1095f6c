#pragma once
// Runs one program of the benchmark and says what it printed and how much memory it took.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace millrace::cli {

struct ProcessSpec {
  std::vector<std::string> command;                ///< program and arguments
  std::vector<int> cpus;                           ///< pinned to these; empty: as the caller is
  std::map<std::string, std::string> environment;  ///< added to clean_environment()
};

struct ProcessResult {
  std::string output;  ///< standard output; standard error is the caller's
  std::int64_t peak_rss_bytes = 0;
};

/// This process's environment without the variables that slow numeric libraries or redirect them
/// (OMP_*, OPENBLAS_*, MKL_*, LD_PRELOAD, …), so that every entry runs as it comes.
std::map<std::string, std::string> clean_environment();

/// Waits for the program. Peak memory is the kernel's count, which is never below this process's
/// own size, so the caller stays small. Throws an Error with the program's exit code where that is
/// one of ours, InternalError where it was killed or gave another.
ProcessResult run_process(const ProcessSpec& spec);

}  // namespace millrace::cli
