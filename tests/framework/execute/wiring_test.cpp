#include "framework/execute/wiring.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>

namespace millrace {
namespace {

bool done(const std::vector<Action>& actions, int position, ActionKind kind, int micro_batch) {
  const auto end = actions.begin() + position;
  return std::any_of(actions.begin(), end, [&](const Action& action) {
    return action.kind == kind && action.micro_batch == micro_batch;
  });
}

std::vector<Action> actions_of(const Schedule& schedule, int stage) {
  std::vector<Action> actions = schedule.lane_of(stage);
  std::erase_if(actions, [&](const Action& action) { return action.stage != stage; });
  return actions;
}

/// Oracle: walks through every interleaving of two neighbouring stages and notes the most passes
/// of `kind` that `from` has done and `to` has not begun.
int most_in_flight(const Schedule& schedule, int from, int to) {
  const ActionKind kind = from < to ? ActionKind::forward : ActionKind::backward;
  const auto senders = actions_of(schedule, from), receivers = actions_of(schedule, to);
  const auto count = [&](const std::vector<Action>& actions, int position) {
    return static_cast<int>(std::count_if(actions.begin(), actions.begin() + position,
                                          [&](const Action& a) { return a.kind == kind; }));
  };
  const auto ready = [&](const Action& next, bool forward_needed, const auto& other, int position) {
    const ActionKind needed = forward_needed ? ActionKind::forward : ActionKind::backward;
    return next.kind != needed || done(other, position, needed, next.micro_batch);
  };
  std::set<std::pair<int, int>> seen;
  std::vector<std::pair<int, int>> open = {{0, 0}};
  int most = 1;
  while (!open.empty()) {
    const auto [i, j] = open.back();
    open.pop_back();
    if (!seen.emplace(i, j).second) continue;
    most = std::max(most, count(senders, i) - count(receivers, j));
    if (i < static_cast<int>(senders.size()) &&
        ready(senders[static_cast<std::size_t>(i)], from > to, receivers, j)) {
      open.emplace_back(i + 1, j);
    }
    if (j < static_cast<int>(receivers.size()) &&
        ready(receivers[static_cast<std::size_t>(j)], from < to, senders, i)) {
      open.emplace_back(i, j + 1);
    }
  }
  return most;
}

TEST(ChannelCapacity, IsWhatTheScheduleCanHaveInFlight) {
  for (const char* name : {"fill-drain", "1f1b", "zero-bubble", "forward-only"}) {
    for (int stages = 2; stages <= 4; ++stages) {
      for (int micro_batches = 1; micro_batches <= 6; ++micro_batches) {
        const Schedule schedule = make_schedule(name, stages, micro_batches);
        for (int s = 1; s < stages; ++s) {
          SCOPED_TRACE(testing::Message() << name << " P " << stages << " M " << micro_batches);
          EXPECT_EQ(channel_capacity(schedule, s - 1, s), most_in_flight(schedule, s - 1, s));
          EXPECT_EQ(channel_capacity(schedule, s, s - 1), most_in_flight(schedule, s, s - 1));
        }
      }
    }
  }
}

/// Each pair of neighbours by itself: that some share a lane only makes less be in flight.
TEST(ChannelCapacity, OfStagesThatShareLanesIsEnough) {
  for (const std::vector<int>& lanes :
       {std::vector<int>{0, 1, 0}, {0, 1, 0, 1}, {0, 1, 2, 0, 1, 2}, {0, 1, 2, 1, 0}, {0, 0, 1}})
    for (int micro_batches = 1; micro_batches <= 7; ++micro_batches) {
      const Schedule schedule = make_schedule("interleaved", lanes, micro_batches);
      for (int s = 1; s < schedule.stages(); ++s) {
        EXPECT_EQ(channel_capacity(schedule, s - 1, s), most_in_flight(schedule, s - 1, s));
        EXPECT_EQ(channel_capacity(schedule, s, s - 1), most_in_flight(schedule, s, s - 1));
      }
    }
}

TEST(ChannelCapacity, OfOneForwardOneBackwardIsBoundedByTheDepth) {
  const Schedule deep = make_schedule("1f1b", 2, 64);
  EXPECT_EQ(channel_capacity(deep, 0, 1), 2);
  EXPECT_EQ(channel_capacity(deep, 1, 0), 2);
  EXPECT_EQ(channel_capacity(make_schedule("fill-drain", 2, 64), 0, 1), 64);
}

TEST(Wiring, EveryWorkerGetsOnePartFromEveryWorkerOfTheNeighbour) {
  const Schedule schedule = make_schedule("1f1b", 2, 1);
  Wiring wiring(schedule, {2, 3});
  const Payload a = std::make_shared<int>(0), b = std::make_shared<int>(1);
  wiring.send(0, 0, ActionKind::forward, 0, a);
  wiring.send(0, 1, ActionKind::forward, 0, b);
  for (int worker = 0; worker < 3; ++worker) {
    EXPECT_THAT(wiring.receive(1, worker, ActionKind::forward, 0), testing::ElementsAre(a, b));
  }
  for (int worker = 0; worker < 3; ++worker) wiring.send(1, worker, ActionKind::backward, 0, a);
  for (int worker = 0; worker < 2; ++worker) {
    EXPECT_THAT(wiring.receive(0, worker, ActionKind::backward, 0), testing::ElementsAre(a, a, a));
  }
}

TEST(Wiring, NothingComesInOrGoesOutAtTheEnds) {
  Wiring wiring(make_schedule("1f1b", 2, 1), {1, 1});
  EXPECT_THAT(wiring.receive(0, 0, ActionKind::forward, 0), testing::IsEmpty());
  EXPECT_THAT(wiring.receive(1, 0, ActionKind::backward, 0), testing::IsEmpty());
  const Payload part = std::make_shared<int>(0);
  wiring.send(1, 0, ActionKind::forward, 0, part);
  wiring.send(0, 0, ActionKind::backward, 0, part);
  EXPECT_EQ(part.use_count(), 1);
}

TEST(Wiring, CancelReachesEveryChannelAndResetRevivesThem) {
  Wiring wiring(make_schedule("1f1b", 2, 1), {1, 1});
  wiring.cancel();
  EXPECT_THROW(wiring.receive(1, 0, ActionKind::forward, 0), Cancelled);
  EXPECT_THROW(wiring.send(1, 0, ActionKind::backward, 0, nullptr), Cancelled);
  wiring.reset();
  wiring.send(0, 0, ActionKind::forward, 0, nullptr);
  EXPECT_EQ(wiring.receive(1, 0, ActionKind::forward, 0).size(), 1u);
}

}  // namespace
}  // namespace millrace
