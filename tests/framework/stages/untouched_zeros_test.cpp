#include "framework/stages/untouched_zeros.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace millrace::test {
namespace {

constexpr std::int64_t kFloats = 16 << 20;  // 64 MiB

/// Pages of it that have memory.
std::int64_t pages_with_memory(const at::Tensor& tensor) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> resident((tensor.nbytes() + page - 1) / page);
  EXPECT_EQ(mincore(tensor.data_ptr(), tensor.nbytes(), resident.data()), 0);
  return std::count_if(resident.begin(), resident.end(), [](auto bits) { return bits & 1; });
}

TEST(UntouchedZeros, take_memory_where_they_are_written_to) {
  at::Tensor zeros = untouched_zeros_like(at::empty({kFloats}));
  EXPECT_EQ(pages_with_memory(zeros), 0);
  zeros[kFloats / 2] = 3;
  const std::int64_t all = kFloats * 4 / sysconf(_SC_PAGESIZE);
  EXPECT_GE(pages_with_memory(zeros), 1);
  EXPECT_LE(pages_with_memory(zeros), all / 2);  // a huge page
  EXPECT_EQ(zeros.sum().item<float>(), 3);
}

TEST(UntouchedZeros, have_the_shape_and_are_contiguous) {
  for (const auto& like :
       {at::empty({3, 5}), at::empty({1200, 700}).t(), at::empty({}), at::empty({0, 4})}) {
    const at::Tensor zeros = untouched_zeros_like(like);
    EXPECT_EQ(zeros.sizes(), like.sizes());
    EXPECT_TRUE(zeros.is_contiguous());
    EXPECT_EQ(zeros.scalar_type(), at::kFloat);
    EXPECT_EQ(zeros.count_nonzero().item<std::int64_t>(), 0);
  }
}

}  // namespace
}  // namespace millrace::test
