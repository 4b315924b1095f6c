#pragma once
// The tasks of the last steps, for trace.json.

#include <cstdint>
#include <deque>
#include <filesystem>
#include <utility>

#include "framework/base/file.hpp"
#include "framework/execute/executor.hpp"
#include "millrace/step_report.hpp"

namespace millrace {

class RecentTrace {
 public:
  /// `steps`: how many are kept; 0: none.
  explicit RecentTrace(std::int64_t steps) : kept_(static_cast<std::size_t>(steps)) {}

  void add(StepReport report) {
    if (kept_ == 0) return;
    steps_.push_back(std::move(report));
    if (steps_.size() > kept_) steps_.pop_front();
  }

  /// The times of what follows begin anew, and so do its stages.
  void forget() { steps_.clear(); }

  /// Throws ResourceError (tag "trace").
  void write(const std::filesystem::path& file) const {
    if (steps_.empty()) return;
    write_file_atomically(file, to_chrome_trace({steps_.begin(), steps_.end()}), "trace");
  }

 private:
  std::size_t kept_;
  std::deque<StepReport> steps_;
};

}  // namespace millrace
