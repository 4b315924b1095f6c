#pragma once
// How a thread that runs layers is set up.

namespace millrace {

/// From here on the calling thread's operators use an OpenMP team of `threads` >= 1 and record no
/// autograd graph. OpenBLAS has one width for the whole process, which would start teams of its own
/// on the cores of other stages: it gets 1.
void compute_with(int threads);

}  // namespace millrace
