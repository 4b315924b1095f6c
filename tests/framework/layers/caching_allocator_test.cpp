#include "framework/layers/caching_allocator.hpp"

#include <ATen/ATen.h>
#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>

#include <barrier>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/errors.hpp"

// Asked for too much, a sanitizer ends the program, unless told to answer null as malloc does.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }

namespace millrace::test {
namespace {

/// Taken before the caching allocator is there.
struct Foreign {
  c10::Allocator* allocator = c10::GetCPUAllocator();
  void* block = allocator->raw_allocate(1 << 20);
  at::Tensor tensor = at::ones({1 << 18});
};

class CachingAllocator : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    static Foreign before;
    foreign = &before;
    install_caching_allocator();
    install_caching_allocator();
  }
  void SetUp() override {
    trim_allocator();
    start = allocator_statistics();
  }
  std::int64_t mapped() const { return allocator_statistics().mapped_bytes - start.mapped_bytes; }
  std::int64_t in_use() const { return allocator_statistics().in_use_bytes - start.in_use_bytes; }

  inline static Foreign* foreign = nullptr;
  AllocatorStatistics start;
};

constexpr std::int64_t kFloats = 1 << 20;  // 4 MiB

TEST_F(CachingAllocator, frees_what_was_allocated_before_it) {
  EXPECT_NE(c10::GetCPUAllocator(), foreign->allocator);
  EXPECT_EQ(foreign->tensor.sum().item<float>(), 1 << 18);
  foreign->tensor.reset();
  c10::GetCPUAllocator()->raw_deallocate(foreign->block);
  EXPECT_EQ(allocator_statistics().cached_bytes, 0);
}

TEST_F(CachingAllocator, gives_a_freed_block_to_the_next_request) {
  void* address = at::empty({kFloats}).data_ptr();
  const at::Tensor same = at::empty({kFloats});
  const at::Tensor other = at::empty({kFloats});
  EXPECT_EQ(same.data_ptr(), address);
  EXPECT_NE(other.data_ptr(), address);
}

TEST_F(CachingAllocator, maps_nothing_in_a_steady_step) {
  const auto step = [] {
    const at::Tensor x = at::ones({kFloats});
    const at::Tensor y = (x * 2).add_(at::arange(kFloats, at::kFloat));
    return y.sum().item<float>();
  };
  step();
  const std::int64_t after_first = mapped();
  for (int i = 0; i < 3; ++i) step();
  EXPECT_EQ(mapped(), after_first);
}

TEST_F(CachingAllocator, aligns_blocks_of_every_size) {
  for (std::size_t bytes : {std::size_t{1}, std::size_t{1000}, kSmallestCachedBlock,
                            kSmallestCachedBlock + 1, std::size_t{3} << 20, std::size_t{5000000}}) {
    const c10::DataPtr block = c10::GetCPUAllocator()->allocate(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block.get()) % 64, 0U) << bytes;
    std::memset(block.get(), 1, bytes);
  }
}

TEST_F(CachingAllocator, returns_a_block_to_the_thread_that_made_it) {
  void* address = nullptr;
  {
    at::Tensor tensor = at::empty({kFloats});
    address = tensor.data_ptr();
    std::thread([&tensor] { tensor.reset(); }).join();
  }
  std::thread([address] { EXPECT_NE(at::empty({kFloats}).data_ptr(), address); }).join();
  EXPECT_EQ(at::empty({kFloats}).data_ptr(), address);
}

TEST_F(CachingAllocator, gives_back_what_an_ended_thread_has_left) {
  at::Tensor kept;
  std::thread([&] {
    at::empty({4 * kFloats});
    kept = at::ones({kFloats});
  }).join();
  EXPECT_LE(allocator_statistics().cached_bytes, 2 << 20);
  EXPECT_EQ(kept.sum().item<float>(), kFloats);
  void* address = kept.data_ptr();
  kept.reset();
  std::thread([address] { EXPECT_EQ(at::empty({kFloats}).data_ptr(), address); }).join();
}

TEST_F(CachingAllocator, counts_what_is_in_use_and_what_is_kept) {
  std::int64_t one_block = 0;
  reset_allocator_peak();
  {
    const at::Tensor one = at::empty({kFloats});
    one_block = in_use();
    EXPECT_GE(one_block, kFloats * static_cast<std::int64_t>(sizeof(float)));
    const at::Tensor two = at::empty({kFloats});
    EXPECT_EQ(in_use(), 2 * one_block);
  }
  EXPECT_EQ(in_use(), 0);
  EXPECT_EQ(allocator_statistics().peak_bytes - start.in_use_bytes, 2 * one_block);
  const std::int64_t cached = allocator_statistics().cached_bytes;
  EXPECT_GE(cached, 2 * one_block);
  reset_allocator_peak();
  EXPECT_EQ(allocator_statistics().peak_bytes, start.in_use_bytes);
  EXPECT_EQ(trim_allocator(), cached);
  EXPECT_EQ(allocator_statistics().cached_bytes, 0);
  EXPECT_EQ(trim_allocator(), 0);
}

TEST_F(CachingAllocator, lays_out_the_blocks_of_every_thread_that_repeats_a_step) {
  const auto step = [] {
    at::Tensor wide = at::empty({6 * kFloats});
    const at::Tensor kept = at::empty({2 * kFloats});
    wide.reset();
    const at::Tensor gradient = at::empty({kFloats});
    wide = at::empty({6 * kFloats});
  };
  constexpr int kSteps = 6;
  std::barrier together(2);
  std::thread other([&] {
    for (int i = 0; i < kSteps; ++i) {
      together.arrive_and_wait();
      step();
      together.arrive_and_wait();
    }
  });
  std::vector<std::int64_t> cached, mapped_by_then;
  for (int i = 0; i < kSteps; ++i) {
    const AllocationRound round;
    together.arrive_and_wait();
    step();
    together.arrive_and_wait();
    cached.push_back(allocator_statistics().cached_bytes);
    mapped_by_then.push_back(mapped());
  }
  other.join();
  const std::int64_t least = 2 * 9 * kFloats * static_cast<std::int64_t>(sizeof(float));
  EXPECT_LE(cached.back(), least + (4 << 20));  // first fit: 32 MiB more
  EXPECT_EQ(mapped_by_then.back(), mapped_by_then[2]);
}

TEST_F(CachingAllocator, small_blocks_are_not_its_business) {
  const at::Tensor small = at::empty({100});
  EXPECT_EQ(in_use(), 0);
  EXPECT_EQ(mapped(), 0);
}

TEST_F(CachingAllocator, threads_free_each_others_blocks_without_mixing_them) {
  constexpr int kThreads = 4, kRounds = 200;
  std::mutex mutex;
  at::Tensor shared = at::zeros({kFloats / 16});
  const auto work = [&](int value) {
    for (int round = 0; round < kRounds; ++round) {
      at::Tensor mine = at::full({kFloats / 16}, value);
      {
        const std::lock_guard lock(mutex);
        std::swap(mine, shared);
      }
      ASSERT_EQ(mine.min().item<float>(), mine.max().item<float>());
    }  // frees what another thread made
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) threads.emplace_back(work, t);
  for (std::thread& thread : threads) thread.join();
  shared.reset();
  EXPECT_EQ(in_use(), 0);
  EXPECT_LE(mapped(), 4 * kThreads * (std::int64_t{1} << 21));
}

TEST_F(CachingAllocator, refuses_the_impossible) {
  EXPECT_THROW(c10::GetCPUAllocator()->allocate(std::size_t{1} << 60), ResourceError);
}

}  // namespace
}  // namespace millrace::test
