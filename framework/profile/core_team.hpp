#pragma once
// Pinned threads, one per core, that work at the same time and meet.

#include <functional>
#include <memory>
#include <vector>

#include "framework/profile/pinned_thread.hpp"

namespace millrace {

/// One thread of width 1 on each of `cpus`. One caller at a time.
class CoreTeam {
 public:
  explicit CoreTeam(const std::vector<int>& cpus);

  int size() const { return static_cast<int>(members_.size()); }

  /// Returns when every member has come this far; a member that threw is not waited for.
  using Meet = std::function<void()>;

  /// Runs `work(member, meet)` on all members at once; returns when all have returned, then throws
  /// what the first of them threw.
  void run(const std::function<void(int member, const Meet& meet)>& work);

 private:
  std::vector<std::unique_ptr<PinnedThread>> members_;
};

}  // namespace millrace
