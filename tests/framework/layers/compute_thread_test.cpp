#include "framework/layers/compute_thread.hpp"

#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <thread>

namespace millrace {
namespace {

/// The team's width after an operator that is large enough for a team.
int width_after_an_operator(int asked) {
  int width = 0;
  std::thread([&] {
    compute_with(asked);
    at::relu(at::ones({1 << 20}));
    width = omp_get_max_threads();
  }).join();
  return width;
}

TEST(ComputeThread, KeepsItsWidthThroughOperators) {
  EXPECT_EQ(width_after_an_operator(1), 1);
  EXPECT_EQ(width_after_an_operator(3), std::min(3, omp_get_thread_limit()));
}

TEST(ComputeThread, RecordsNoGraph) {
  bool needs_gradient = true;
  std::thread([&] {
    compute_with(1);
    const at::Tensor x = at::ones({2}).set_requires_grad(true);
    needs_gradient = at::relu(x).requires_grad();
  }).join();
  EXPECT_FALSE(needs_gradient);
}

}  // namespace
}  // namespace millrace
