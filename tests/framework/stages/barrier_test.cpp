#include "framework/stages/barrier.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "framework/stages/team.hpp"
#include "millrace/stage.hpp"

namespace millrace::test {
namespace {

TEST(Barrier, one_worker_never_waits) {
  Barrier barrier(1);
  for (int i = 0; i < 3; ++i) barrier.arrive_and_wait();
  barrier.cancel();
  EXPECT_THROW(barrier.arrive_and_wait(), Cancelled);
  barrier.reset();
  barrier.arrive_and_wait();
}

TEST(Barrier, knows_what_a_thread_waited) {
  Barrier barrier(2);
  const std::int64_t before = Barrier::waited_ns();
  std::int64_t others = 0;
  std::thread late([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    barrier.arrive_and_wait();
    others = Barrier::waited_ns();
  });
  barrier.arrive_and_wait();
  late.join();
  EXPECT_GT(Barrier::waited_ns(), before);
  EXPECT_EQ(others, 0) << "the last one to arrive does not wait";
}

// worker 0   write ──▶│ read all │──▶ write ──▶│ …
// worker 1   write ──▶│ read all │──▶ write ──▶│ …
TEST(Barrier, everything_written_before_is_seen_after) {
  constexpr int kWorkers = 3, kRounds = 200;
  Barrier barrier(kWorkers);
  std::vector<int> written(kWorkers, -1);
  std::atomic<int> wrong = 0;
  const auto work = [&](std::size_t own) {
    for (int round = 0; round < kRounds; ++round) {
      written[own] = round;
      barrier.arrive_and_wait();
      for (int value : written) wrong += value != round;
      barrier.arrive_and_wait();
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t w = 0; w < kWorkers; ++w) threads.emplace_back(work, w);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Barrier, cancelling_releases_who_waits_and_who_comes_later) {
  Barrier barrier(3);
  std::atomic<int> cancelled = 0;
  const auto work = [&] {
    try {
      barrier.arrive_and_wait();
    } catch (const Cancelled&) {
      ++cancelled;
    }
  };
  std::thread one(work), two(work);
  barrier.cancel();
  one.join();
  two.join();
  work();
  EXPECT_EQ(cancelled, 3);
}

TEST(Barrier, a_reset_barrier_starts_anew) {
  Barrier barrier(2);
  std::thread cut_off([&] { EXPECT_THROW(barrier.arrive_and_wait(), Cancelled); });
  barrier.cancel();
  cut_off.join();
  barrier.reset();
  std::thread other([&] { barrier.arrive_and_wait(); });
  barrier.arrive_and_wait();
  other.join();
}

TEST(SharedBuffers, a_number_is_one_buffer_until_all_workers_have_it) {
  SharedBuffers buffers(2);
  const at::Tensor first = buffers.get(0, 3, 4), second = buffers.get(0, 3, 4);
  EXPECT_TRUE(first.is_alias_of(second));
  EXPECT_EQ(first.sizes(), at::IntArrayRef({3, 4}));
  EXPECT_FALSE(buffers.get(0, 3, 4).is_alias_of(first));
  EXPECT_FALSE(buffers.get(1, 3, 4).is_alias_of(first));
}

TEST(SharedBuffers, cleared_ones_are_made_anew) {
  SharedBuffers buffers(2);
  const at::Tensor left = buffers.get(0, 2, 2);
  buffers.clear();
  EXPECT_FALSE(buffers.get(0, 2, 2).is_alias_of(left));
}

}  // namespace
}  // namespace millrace::test
