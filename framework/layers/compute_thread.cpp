#include "framework/layers/compute_thread.hpp"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include "framework/affinity/affinity.hpp"

namespace millrace {

void compute_with(int threads) {
  at::get_num_threads();  // sets the thread's first width, else its first operator would do it
                          // later
  limit_blas_threads(1);
  set_team_width(threads);
  at::GradMode::set_enabled(false);
}

}  // namespace millrace
