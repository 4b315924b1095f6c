#include "framework/execute/channel.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace millrace {
namespace {

Payload number(int value) { return std::make_shared<int>(value); }

std::vector<int> numbers(const std::vector<Payload>& payloads) {
  std::vector<int> result;
  for (const Payload& payload : payloads) result.push_back(*static_cast<int*>(payload.get()));
  return result;
}

using testing::ElementsAre;

TEST(Channel, HandsOverOneMicroBatchAfterAnother) {
  Channel channel(1, 1);
  for (int m = 0; m < 3; ++m) {
    channel.send(m, 0, number(m));
    EXPECT_THAT(numbers(channel.receive(m)), ElementsAre(m));
  }
}

TEST(Channel, PartsComeInTheOrderOfTheirProducers) {
  Channel channel(3, 2);
  channel.send(0, 2, number(2));
  channel.send(1, 0, number(10));
  channel.send(0, 0, number(0));
  channel.send(0, 1, number(1));
  EXPECT_THAT(numbers(channel.receive(0)), ElementsAre(0, 1, 2));
  channel.send(1, 2, number(12));
  channel.send(1, 1, number(11));
  EXPECT_THAT(numbers(channel.receive(1)), ElementsAre(10, 11, 12));
}

TEST(Channel, MicroBatchesAreReceivedInAnyOrder) {
  Channel channel(1, 3);
  for (int m = 0; m < 3; ++m) channel.send(m, 0, number(m));
  EXPECT_THAT(numbers(channel.receive(2)), ElementsAre(2));
  EXPECT_THAT(numbers(channel.receive(0)), ElementsAre(0));
  EXPECT_THAT(numbers(channel.receive(1)), ElementsAre(1));
}

TEST(Channel, PassesThePointerItself) {
  Channel channel(1, 1);
  const Payload sent = number(7);
  channel.send(0, 0, sent);
  EXPECT_EQ(channel.receive(0).at(0), sent);
  EXPECT_EQ(sent.use_count(), 1) << "the channel still holds what was received";
}

TEST(Channel, NullIsAPayload) {
  Channel channel(1, 1);
  channel.send(0, 0, nullptr);
  EXPECT_THAT(channel.receive(0), ElementsAre(nullptr));
}

TEST(Channel, AfterCancelEveryCallThrowsUntilReset) {
  Channel channel(1, 2);
  const Payload held = number(0);
  channel.send(0, 0, held);
  channel.cancel();
  EXPECT_THROW(channel.send(1, 0, number(1)), Cancelled);
  EXPECT_THROW(channel.receive(0), Cancelled);
  channel.reset();
  EXPECT_EQ(held.use_count(), 1) << "reset drops what is held";
  channel.send(0, 0, number(5));
  EXPECT_THAT(numbers(channel.receive(0)), ElementsAre(5));
}

// producer 0 --\                    The consumer sees every micro-batch once, whole and in order,
// producer 1 ---> [ 1 place ] --> consumer      though there is room for one only.
// producer 2 --/
TEST(Channel, ManyProducersThroughOnePlace) {
  constexpr int kProducers = 3, kMicroBatches = 200;
  Channel channel(kProducers, 1);
  std::vector<std::thread> producers;
  for (int p = 0; p < kProducers; ++p) {
    producers.emplace_back([&channel, p] {
      for (int m = 0; m < kMicroBatches; ++m) channel.send(m, p, number(m * kProducers + p));
    });
  }
  for (int m = 0; m < kMicroBatches; ++m) {
    const int first = m * kProducers;
    EXPECT_THAT(numbers(channel.receive(m)), ElementsAre(first, first + 1, first + 2));
  }
  for (auto& producer : producers) producer.join();
}

TEST(Channel, CancelWakesAReceiverAndASender) {
  Channel empty(1, 1), full(1, 1);
  full.send(0, 0, number(0));
  std::thread receiver([&] { EXPECT_THROW(empty.receive(0), Cancelled); });
  std::thread sender([&] { EXPECT_THROW(full.send(1, 0, number(1)), Cancelled); });
  empty.cancel();
  full.cancel();
  receiver.join();
  sender.join();
}

}  // namespace
}  // namespace millrace
