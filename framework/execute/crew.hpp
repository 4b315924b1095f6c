#pragma once
// Threads that wait, parked, and run one job together, again and again.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace millrace {

/// A parked member uses no processor time. Not thread-safe: one caller.
class Crew {
 public:
  using Job = std::function<void(int member)>;

  /// One thread per name (shown by top and debuggers, 15 characters).
  /// Throws ResourceError (tag "execute") where the system refuses a thread.
  explicit Crew(const std::vector<std::string>& names);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  /// Every member calls job(its index) once; returns when all have returned. REQUIRES: job does not
  /// throw (an exception would end the process).
  void run(const Job& job);

 private:
  void live(int member);
  void dismiss();

  std::mutex mutex_;
  std::condition_variable called_;
  std::condition_variable finished_;
  const Job* job_ = nullptr;  // guarded by mutex_
  std::uint64_t round_ = 0;   // guarded by mutex_
  std::size_t working_ = 0;   // guarded by mutex_
  bool dismissed_ = false;    // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace millrace
