#include "framework/execute/gate.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "millrace/stage.hpp"

namespace millrace {
namespace {

TEST(Gate, TheOnlyOneRunsWhatIsBetween) {
  Gate gate;
  int between = 0;
  for (int step = 0; step < 3; ++step) {
    gate.reset(1);
    gate.arrive_and_wait([&] { ++between; });
    EXPECT_EQ(between, step + 1);
  }
}

TEST(Gate, NothingBetweenIsLegal) {
  Gate gate;
  gate.reset(1);
  EXPECT_NO_THROW(gate.arrive_and_wait({}));
}

// 0: arrive ......|              between runs once, when all have arrived and none has gone on
// 1: arrive ..|   |- between -|
// 2: arrive .|                | go on
TEST(Gate, BetweenComesAfterAllAndBeforeAny) {
  constexpr int kThreads = 4, kRounds = 100;
  Gate gate;
  std::atomic<int> arrived = 0, between = 0, gone_on = 0;
  for (int round = 1; round <= kRounds; ++round) {
    gate.reset(kThreads);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        ++arrived;
        gate.arrive_and_wait([&] {
          EXPECT_EQ(arrived, round * kThreads);
          EXPECT_EQ(gone_on, (round - 1) * kThreads);
          ++between;
        });
        EXPECT_EQ(between, round);
        ++gone_on;
      });
    }
    for (auto& thread : threads) thread.join();
  }
}

TEST(Gate, WhatBetweenThrowsReachesTheLastAndCancelTheOthers) {
  Gate gate;
  gate.reset(2);
  std::atomic<int> failed = 0, cancelled = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      try {
        gate.arrive_and_wait([] { throw std::runtime_error("between"); });
      } catch (const std::runtime_error&) {
        ++failed;
        gate.cancel();
      } catch (const Cancelled&) {
        ++cancelled;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failed, 1);
  EXPECT_EQ(cancelled, 1);
}

TEST(Gate, AfterCancelEveryArrivalThrowsUntilReset) {
  Gate gate;
  gate.reset(1);
  gate.cancel();
  EXPECT_THROW(gate.arrive_and_wait({}), Cancelled);
  gate.reset(1);
  EXPECT_NO_THROW(gate.arrive_and_wait({}));
}

}  // namespace
}  // namespace millrace
