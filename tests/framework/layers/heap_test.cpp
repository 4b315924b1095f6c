#include "framework/layers/heap.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <thread>
#include <vector>

namespace millrace::test {
namespace {

constexpr std::size_t kMiB = 1 << 20;

TEST(AddressRanges, joins_neighbours) {
  AddressRanges ranges;
  ranges.insert({10, 20});
  ranges.insert({30, 40});
  EXPECT_EQ(ranges.all().size(), 2U);
  ranges.insert({20, 30});
  ASSERT_EQ(ranges.all().size(), 1U);
  EXPECT_EQ(ranges.all()[0].begin, 10U);
  EXPECT_EQ(ranges.all()[0].end, 40U);
  EXPECT_EQ(ranges.bytes(), 30U);
  ranges.insert({50, 50});
  EXPECT_EQ(ranges.all().size(), 1U);
}

TEST(AddressRanges, finds_the_lowest_that_is_large_enough) {
  AddressRanges ranges;
  for (const AddressRange range :
       {AddressRange{20, 24}, AddressRange{0, 2}, AddressRange{30, 38}, AddressRange{10, 14}})
    ranges.insert(range);
  EXPECT_EQ(ranges.first_of(3).begin, 10U);
  EXPECT_EQ(ranges.first_of(2).begin, 0U);
  EXPECT_EQ(ranges.first_of(5).size(), 8U);
  EXPECT_EQ(ranges.first_of(9).size(), 0U);
  EXPECT_EQ(ranges.ending_at(24).begin, 20U);
  EXPECT_EQ(ranges.ending_at(23).size(), 0U);
  EXPECT_EQ(ranges.around({31, 38}).begin, 30U);
  EXPECT_EQ(ranges.around({30, 39}).size(), 0U);
  EXPECT_EQ(ranges.around({24, 25}).size(), 0U);
}

TEST(Heap, cuts_a_freed_block_for_smaller_ones) {
  Heap heap;
  void* const large = heap.take(8 * kMiB).block;
  heap.give(large);
  std::vector<Heap::Taken> small;
  for (int i = 0; i < 4; ++i) small.push_back(heap.take(kMiB));
  for (const Heap::Taken& taken : small) EXPECT_EQ(taken.from_system, 0U);
  EXPECT_EQ(small.front().block, large);
}

TEST(Heap, joins_freed_blocks_for_a_larger_one) {
  Heap heap;
  std::vector<void*> small;
  for (int i = 0; i < 8; ++i) small.push_back(heap.take(kMiB).block);
  for (const int i : {1, 7, 3, 0, 2, 6, 4, 5}) heap.give(small[static_cast<std::size_t>(i)]);
  const Heap::Taken large = heap.take(6 * kMiB);
  EXPECT_EQ(large.from_system, 0U);
  EXPECT_EQ(large.block, small[0]);
}

TEST(Heap, grows_at_its_end_by_what_is_missing) {
  Heap heap;
  heap.give(heap.take(4 * kMiB).block);
  EXPECT_LE(heap.take(6 * kMiB).from_system, 4 * kMiB);
}

TEST(Heap, gives_its_free_memory_back) {
  Heap heap;
  const Heap::Taken kept = heap.take(4 * kMiB), freed = heap.take(8 * kMiB);
  std::memset(kept.block, 7, 4 * kMiB);
  heap.give(freed.block);
  const std::size_t free = heap.free_bytes();
  EXPECT_GE(free, 8 * kMiB);
  EXPECT_EQ(heap.trim(), free);
  EXPECT_EQ(heap.free_bytes(), 0U);
  EXPECT_EQ(heap.trim(), 0U);
  const Heap::Taken again = heap.take(8 * kMiB);
  for (const std::size_t at : {std::size_t{0}, 8 * kMiB - 1})
    EXPECT_EQ(static_cast<char*>(again.block)[at], 0);  // fresh from the system
  EXPECT_EQ(static_cast<char*>(kept.block)[4 * kMiB - 1], 7);
}

TEST(Heap, gives_back_beside_odd_blocks_in_use) {
  Heap heap;
  std::vector<unsigned char*> blocks;
  for (const std::size_t size : {Heap::kPage + 4096, 3 * Heap::kPage - 1, std::size_t{70'000}}) {
    blocks.push_back(static_cast<unsigned char*>(heap.take(size).block));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(blocks.back()) % Heap::kPage, 0U);
    std::memset(blocks.back(), 5, size);
  }
  heap.give(blocks[0]);
  heap.give(blocks[2]);
  heap.trim();
  EXPECT_EQ(blocks[1][0], 5);
  EXPECT_EQ(blocks[1][3 * Heap::kPage - 2], 5);
}

TEST(Heap, tells_its_addresses_before_it_hands_them_out) {
  std::vector<AddressRange> told;
  Heap heap([&](Heap&, AddressRange range) { told.push_back(range); });
  const auto address = reinterpret_cast<std::uintptr_t>(heap.take(kMiB).block);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_TRUE(told[0].begin <= address && address + kMiB <= told[0].end);
  heap.take(told[0].size() + kMiB);  // more than is reserved
  EXPECT_EQ(told.size(), 2U);
}

TEST(Heap, refuses_what_no_system_has) {
  Heap heap;
  EXPECT_EQ(heap.take(std::size_t{1} << 60).block, nullptr);
  EXPECT_EQ(heap.take(SIZE_MAX).block, nullptr);
  EXPECT_NE(heap.take(kMiB).block, nullptr);
}

/// A step of two layers whose blocks leave gaps when each takes the lowest range that fits; returns
/// where the blocks ended.
std::uintptr_t take_step(Heap& heap, bool trims = false) {
  std::uintptr_t end = 0;
  const auto take = [&](std::size_t size) {
    void* const block = heap.take(size).block;
    std::memset(block, 1, size);
    end = std::max(end, reinterpret_cast<std::uintptr_t>(block) + size);
    return block;
  };
  void* const wide = take(24 * kMiB);
  void* const kept = take(6 * kMiB);
  heap.give(wide);
  void* const next = take(8 * kMiB);
  void* const scratch = take(18 * kMiB);
  heap.give(scratch);
  if (trims) heap.trim();
  void* const gradient = take(2 * kMiB);
  heap.give(next);
  void* const wide_again = take(24 * kMiB);
  for (void* const block : {wide_again, kept, gradient}) heap.give(block);
  return end;
}

TEST(Heap, lays_out_what_is_repeated_in_less_memory) {
  Heap heap;
  heap.begin_round();
  const std::uintptr_t first = take_step(heap);
  heap.begin_round();
  const std::size_t most = 32 * kMiB;  // in use at a time: 24 + 6 + 2; first fit takes 48
  EXPECT_LE(heap.free_bytes(), most + 4 * kMiB);
  const std::uintptr_t second = take_step(heap);
  EXPECT_LE(second + 14 * kMiB, first);
  EXPECT_LE(heap.free_bytes(), most + 4 * kMiB);
  heap.begin_round();
  EXPECT_EQ(take_step(heap), second);
}

TEST(Heap, lays_out_blocks_again_after_it_was_trimmed) {
  Heap heap;
  heap.begin_round();
  take_step(heap, true);
  heap.begin_round();
  const std::uintptr_t laid_out = take_step(heap);
  EXPECT_LE(heap.free_bytes(), 36 * kMiB);
  heap.trim();
  heap.begin_round();
  EXPECT_EQ(take_step(heap), laid_out);
  EXPECT_LE(heap.free_bytes(), 36 * kMiB);
}

/// 4 MiB that nobody else writes to.
class OtherBlock {
 public:
  explicit OtherBlock(Heap& heap) : begin_(static_cast<unsigned char*>(heap.take(kSize).block)) {
    std::memset(begin_, 7, kSize);
  }
  bool is_whole() const {
    return std::all_of(begin_, begin_ + kSize, [](unsigned char at) { return at == 7; });
  }

 private:
  static constexpr std::size_t kSize = 4 * kMiB;
  unsigned char* begin_;
};

TEST(Heap, lays_no_block_over_one_that_came_between_steps) {
  Heap heap;
  for (int round = 0; round < 2; ++round) {
    heap.begin_round();
    take_step(heap);
  }
  heap.end_round();
  const OtherBlock other(heap);  // where the next step's blocks should lie
  heap.begin_round();
  take_step(heap);
  EXPECT_TRUE(other.is_whole());
}

TEST(Heap, lays_blocks_out_around_one_that_stays) {
  Heap heap;
  heap.begin_round();
  const OtherBlock other(heap);
  take_step(heap);
  for (int round = 0; round < 3; ++round) {
    heap.begin_round();
    take_step(heap);
    EXPECT_TRUE(other.is_whole());
  }
  EXPECT_LE(heap.free_bytes(), 36 * kMiB);
}

/// A process whose addresses are limited reserves few at a time.
class LimitedAddresses {
 public:
  LimitedAddresses() {
    getrlimit(RLIMIT_AS, &before_);
    rlimit limited = before_;
    limited.rlim_cur = std::min(limited.rlim_cur, rlim_t{1} << 46);
    setrlimit(RLIMIT_AS, &limited);
  }
  ~LimitedAddresses() { setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_{};
};

TEST(Heap, lays_blocks_out_in_several_reservations) {
  const LimitedAddresses limited;
  std::vector<AddressRange> reserved;
  Heap heap([&](Heap&, AddressRange range) { reserved.push_back(range); });
  for (int round = 0; round < 3; ++round) {
    heap.begin_round();
    void* const far = heap.take(40 * kMiB).block;
    const std::uintptr_t end = take_step(heap);
    EXPECT_TRUE(std::any_of(reserved.begin(), reserved.end(), [&](AddressRange range) {
      return range.begin < end && end <= range.end;
    }));
    heap.give(far);
  }
  EXPECT_GT(reserved.size(), 1U);
  EXPECT_LE(heap.free_bytes(), (40 + 32 + 8) * kMiB);
}

/// Takes and frees at random; every block keeps what was written to it.
void exercise(Heap& heap, unsigned seed) {
  std::mt19937 random(seed);
  std::map<unsigned char*, std::pair<std::size_t, unsigned char>> blocks;
  const auto free_one = [&](auto block) {
    const auto [size, value] = block->second;
    for (const std::size_t at : {std::size_t{0}, size / 2, size - 1})
      ASSERT_EQ(block->first[at], value);
    EXPECT_GE(heap.give(block->first), size);
    blocks.erase(block);
  };
  for (int i = 0; i < 2000; ++i) {
    if (blocks.size() > 20 || (!blocks.empty() && random() % 2 == 0)) {
      free_one(std::next(blocks.begin(), static_cast<std::ptrdiff_t>(random() % blocks.size())));
      continue;
    }
    const std::size_t size = 1 + random() % (300 * 1024);
    auto* const block = static_cast<unsigned char*>(heap.take(size).block);
    ASSERT_NE(block, nullptr);
    const auto value = static_cast<unsigned char>(random());
    std::memset(block, value, size);
    blocks[block] = {size, value};
  }
  while (!blocks.empty()) free_one(blocks.begin());
}

TEST(Heap, blocks_do_not_overlap) {
  Heap heap;
  exercise(heap, 1);
  const std::size_t all = heap.free_bytes();
  EXPECT_EQ(heap.take(all - kMiB).from_system, 0U);  // in one piece again
}

TEST(Heap, repeats_random_blocks_without_mixing_them) {
  Heap heap;
  for (const unsigned seed : {1U, 1U, 1U, 2U, 1U, 2U, 2U, 2U}) {
    heap.begin_round();
    exercise(heap, seed);
  }
}

TEST(Heap, serves_several_threads) {
  Heap heap;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t)
    threads.emplace_back([&heap, t] {
      for (int round = 0; round < 2; ++round) {
        heap.begin_round();
        exercise(heap, t);
      }
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace millrace::test
