// Several stages on a lane: the orders that are known, and any lanes at all.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "millrace/errors.hpp"
#include "millrace/schedule.hpp"
#include "tests/framework/schedule/random_pipeline.hpp"

namespace millrace {
namespace {

using ::testing::HasSubstr;

std::vector<int> in_turns(int lanes, int rounds) {
  std::vector<int> result;
  for (int s = 0; s < lanes * rounds; ++s) result.push_back(s % lanes);
  return result;
}

TEST(Interleaved, TwoStagesOnEachOfTwoLanes) {
  EXPECT_EQ(to_text(make_schedule("interleaved", {0, 1, 0, 1}, 2)),
            "0F0 0F1 2F0 2F1 2B0 2B1 0B0 0B1 0R 2R 0U 2U\n"
            "1F0 1F1 3F0 3B0 3F1 3B1 1B0 1B1 1R 3R 1U 3U\n");
  EXPECT_EQ(to_text(make_schedule("forward-only", {0, 1, 0}, 3)),
            "0F0 0F1 2F0 2F1 0F2 2F2\n1F0 1F1 1F2\n");
}

TEST(Interleaved, ALaneForEveryStageIs1F1B) {
  for (int stages = 1; stages <= 6; ++stages)
    for (int micro_batches = 1; micro_batches <= 12; ++micro_batches)
      EXPECT_EQ(make_schedule("interleaved", stages, micro_batches).actions,
                make_schedule("1f1b", stages, micro_batches).actions);
}

/// Narayanan et al.: lots of P micro-batches go through the chunks one after the other; 2 (P - l -
/// 1)
/// + (v - 1) P forwards warm up, then a forward and a backward take turns.
std::vector<Action> megatron(int lane, int P, int v, int M) {
  std::vector<Action> forwards, backwards;
  for (int k = 0; k < M * v; ++k) {
    const int chunk = k % (P * v) / P, m = k / (P * v) * P + k % P;
    forwards.push_back({chunk * P + lane, ActionKind::forward, m});
    backwards.push_back({(v - 1 - chunk) * P + lane, ActionKind::backward, m});
  }
  const int warm_up = std::min(2 * (P - lane - 1) + (v - 1) * P, M * v);
  std::vector<Action> actions(forwards.begin(), forwards.begin() + warm_up);
  for (int k = 0; k < M * v; ++k) {
    if (k + warm_up < M * v) actions.push_back(forwards[std::size_t(k + warm_up)]);
    actions.push_back(backwards[std::size_t(k)]);
  }
  return actions;
}

/// F = 1, B = 2 on a lane for a whole micro-batch.
double makespan_of_equal_lanes(const Schedule& schedule) {
  const std::vector<int>& lanes = schedule.lanes;
  std::vector<StageTimes> times;
  for (const int lane : lanes) {
    const auto count = double(std::count(lanes.begin(), lanes.end(), lane));
    times.push_back({{1 / count}, {2 / count}});
  }
  return simulate_makespan_ns(schedule, times);
}

double makespan_of_equal_lanes(const std::vector<int>& lanes, int micro_batches) {
  return makespan_of_equal_lanes(make_schedule("interleaved", lanes, micro_batches));
}

TEST(Interleaved, LanesInTurnsThatDivideTheMicroBatchesTakeAsLongAsTheKnownOrder) {
  for (const auto& [P, v, M] : {std::tuple{2, 2, 2}, {2, 2, 8}, {2, 3, 6}, {4, 2, 8}, {4, 3, 12}}) {
    const Schedule schedule = make_schedule("interleaved", in_turns(P, v), M);
    Schedule known = schedule;
    for (int lane = 0; lane < P; ++lane) known.actions[std::size_t(lane)] = megatron(lane, P, v, M);
    EXPECT_NEAR(makespan_of_equal_lanes(schedule), makespan_of_equal_lanes(known), 1e-9);
    for (int s = 0; s < P * v; ++s)
      EXPECT_LE(peak_in_flight(schedule, s), peak_in_flight(known, s)) << P << v << M << s;
  }
}

TEST(Interleaved, FillsAndDrainsInAPartOfTheTime) {
  for (const int lanes : {2, 4})
    for (const int rounds : {2, 3}) {
      const double bubble = makespan_of_equal_lanes(in_turns(lanes, 1), 8) - 3 * 8;
      const double smaller = makespan_of_equal_lanes(in_turns(lanes, rounds), 8) - 3 * 8;
      EXPECT_NEAR(smaller, bubble / rounds, 1e-9);
    }
}

std::vector<int> random_lanes(testing::Random& random) {
  std::vector<int> lanes = {0};
  const int stages = testing::random_int(random, 1, 9);
  while (int(lanes.size()) < stages) {
    const int most = *std::max_element(lanes.begin(), lanes.end()) + 1;
    lanes.push_back(testing::random_int(random, 0, std::min(most, 4)));
  }
  return lanes;
}

TEST(Interleaved, AnyLanesAndMicroBatchesHaveAnOrderThatRuns) {
  testing::Random random(12);
  for (int round = 0; round < 2000; ++round) {
    const std::vector<int> lanes = random_lanes(random);
    const int M = testing::random_int(random, 1, 12);
    const Schedule schedule = make_schedule("interleaved", lanes, M);
    ASSERT_NO_THROW(validate(schedule)) << to_text(schedule);
    ASSERT_EQ(parse_schedule(to_text(schedule), "interleaved"), schedule);
    ASSERT_NO_THROW(validate(make_schedule("forward-only", lanes, M)));
    for (int s = 0; s < schedule.stages(); ++s) {
      for (const ActionKind kind : {ActionKind::forward, ActionKind::backward}) {
        int next = 0;  // gradients are summed in one order under every schedule
        for (const Action& action : schedule.lane_of(s)) {
          if (action.stage != s || action.kind != kind) continue;
          ASSERT_EQ(action.micro_batch, next++);
        }
      }
      ASSERT_LE(peak_in_flight(schedule, s), M);
    }
  }
}

TEST(Interleaved, OtherSchedulesHaveNoOrderForIt) {
  for (const char* name : {"fill-drain", "1f1b", "zero-bubble"})
    EXPECT_THROW(make_schedule(name, {0, 1, 0}, 2), ConfigError) << name;
  EXPECT_THROW(make_schedule("interleaved", {0, 2}, 2), InternalError);
  EXPECT_THROW(make_schedule("interleaved", {1, 0}, 2), InternalError);
}

std::string refusal(std::string_view text) {
  try {
    validate(parse_schedule(text, "interleaved"));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "valid";
}

TEST(Interleaved, TextThatIsNoOrder) {
  EXPECT_THAT(refusal("0F0 1F0\n2F0 1B0"), HasSubstr("line 2: 1B0 is of a stage that line 1 has"));
  EXPECT_THAT(refusal("0F0\n2F0"), HasSubstr("actions of stage 2 and none of stage 1"));
  EXPECT_THAT(refusal("0F0 2F0 2B0 2R 2U 0B0 0R 0U\n1F0 1B0 1R 1U"),
              HasSubstr("0B0 comes after an update"));
  EXPECT_THAT(refusal("2F0 0F0 2B0 0B0 0R 2R 0U 2U\n1F0 1B0 1R 1U"),
              HasSubstr("wait for each other at 2F0, 1F0"));
  EXPECT_EQ(refusal("0F0 2F0 2B0 0B0 0R 2R 0U 2U\n1F0 1B0 1R 1U"), "valid");
}

}  // namespace
}  // namespace millrace
