#include <gtest/gtest.h>

#include "framework/affinity/affinity.hpp"

namespace {
int threads_set = 0;
}  // namespace

extern "C" void openblas_set_num_threads(int threads) { threads_set = threads; }

namespace millrace {
namespace {

TEST(LimitBlasThreads, ReachesTheLoadedOpenBlas) {
  EXPECT_TRUE(limit_blas_threads(1));
  EXPECT_EQ(threads_set, 1);
  EXPECT_TRUE(limit_blas_threads(3));
  EXPECT_EQ(threads_set, 3);
}

}  // namespace
}  // namespace millrace
