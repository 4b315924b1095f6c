#pragma once
// The only place that binds threads or sets OpenMP and TBB widths.

#include <vector>

namespace millrace {

/// Binds the calling thread to `cpus`. Throws ResourceError (tag "affinity") naming the CPUs that
/// are not allowed or off line. Call it before the thread's first parallel region: an OpenMP team
/// keeps the mask that it was made with.
void bind_this_thread(const std::vector<int>& cpus);

/// CPUs that the calling thread may run on, ascending.
std::vector<int> this_thread_cpus();

/// OpenMP team width of the calling thread, fixed from now on: libgomp destroys and makes the
/// threads anew at every change above 1.
void set_team_width(int threads);

/// One BLAS thread in OpenBLAS where it is loaded (its pool ignores pinning and serialises
/// concurrent callers). Returns false where no OpenBLAS is loaded. Process-wide.
bool limit_blas_threads(int threads);

/// Binds while it lives, then restores the calling thread's earlier mask.
class ScopedBinding {
 public:
  explicit ScopedBinding(const std::vector<int>& cpus);
  ~ScopedBinding();
  ScopedBinding(const ScopedBinding&) = delete;
  ScopedBinding& operator=(const ScopedBinding&) = delete;

 private:
  std::vector<int> before_;
};

}  // namespace millrace
