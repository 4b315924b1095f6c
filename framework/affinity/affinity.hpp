#pragma once
// The only place that binds threads or sets OpenMP widths, but for bench and controller/cli/bench,
// which measure LibTorch as it is used. oneTBB's widths are those of models/data/.

#include <vector>

namespace millrace {

/// Binds the calling thread to `cpus` (at least one; any order). Throws ResourceError (tag
/// "affinity") naming the CPUs that are not allowed or off line; the thread then keeps its earlier
/// mask. Call it before the thread's first parallel region: an OpenMP team keeps the mask that it
/// was made with.
void bind_this_thread(const std::vector<int>& cpus);

/// CPUs that the calling thread may run on, ascending.
std::vector<int> this_thread_cpus();

/// OpenMP team width (at least 1) of the calling thread alone, fixed from now on: libgomp destroys
/// and makes the threads anew at every change above 1. Never above OMP_THREAD_LIMIT, which makes
/// teams smaller without a word: oneDNN shares its work over the width that was set, then waits for
/// ever for threads that its team does not have.
void set_team_width(int threads);

/// Limits OpenBLAS to `threads` (at least 1) where it is loaded: its pool ignores pinning and
/// serialises concurrent callers, so 1 where stages run side by side. Process-wide; false where no
/// OpenBLAS is loaded. Its OpenMP build also sets the caller's team width: set_team_width() comes
/// after it.
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
