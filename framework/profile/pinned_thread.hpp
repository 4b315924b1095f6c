#pragma once
// A thread bound to cores, with an OpenMP team of fixed width: what is measured runs on one.

#include <exception>
#include <functional>
#include <memory>
#include <vector>

namespace millrace {

/// Bound to `cpus` before its first parallel region; its team has cpus.size() threads for its whole
/// life (libgomp makes a team's threads anew at every change of width). LibTorch's own thread count
/// follows. One caller at a time.
class PinnedThread {
 public:
  /// Throws ResourceError where a CPU is not allowed or off line.
  explicit PinnedThread(std::vector<int> cpus);
  ~PinnedThread();
  PinnedThread(const PinnedThread&) = delete;
  PinnedThread& operator=(const PinnedThread&) = delete;

  /// Runs `work` on the thread and waits for it; its exception is thrown here.
  void run(std::function<void()> work);

  /// The two halves of run(): finish() must follow start(), and throws what the work threw.
  void start(std::function<void()> work);
  void finish();

 private:
  struct Shared;
  void stop();
  std::unique_ptr<Shared> shared_;
};

}  // namespace millrace
