// The event simulation: drawn examples, and agreement with a naive simulator.

#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "millrace/errors.hpp"
#include "millrace/schedule.hpp"
#include "tests/framework/schedule/random_pipeline.hpp"

namespace millrace {
namespace {

using testing::NaiveSimulator;
using testing::Random;
using testing::random_int;
using testing::random_ns;
using testing::random_times;

std::vector<StageTimes> equal_stages(int stages, double forward_ns, double backward_ns,
                                     double weight_gradient_ns = 0) {
  StageTimes times;
  times.forward_ns = {forward_ns};
  times.backward_ns = {backward_ns};
  times.weight_gradient_ns = {weight_gradient_ns};
  return std::vector<StageTimes>(static_cast<std::size_t>(stages), times);
}

/// One cell of three characters per ns: what the comments of the sources draw.
std::string draw(const Timeline& timeline) {
  std::string drawing;
  for (const auto& spans : timeline.stages) {
    std::string row(3 * static_cast<std::size_t>(timeline.makespan_ns), '.');
    for (std::size_t cell = 2; cell < row.size(); cell += 3) row[cell] = ' ';
    for (const Span& span : spans) {
      if (span.end_ns == span.begin_ns) continue;
      const auto cell = 3 * static_cast<std::size_t>(span.begin_ns);
      row[cell] = static_cast<char>(span.action.kind);
      row[cell + 1] = static_cast<char>('0' + span.action.micro_batch);
    }
    drawing += row + "\n";
  }
  return drawing;
}

TEST(Simulate, OneForwardOneBackwardAsDrawn) {
  const Timeline timeline = simulate(make_schedule("1f1b", 3, 4), equal_stages(3, 1, 1));
  EXPECT_EQ(draw(timeline),
            "F0 F1 F2 .. .. B0 F3 B1 .. B2 .. B3 \n"
            ".. F0 F1 .. B0 F2 B1 F3 B2 .. B3 .. \n"
            ".. .. F0 B0 F1 B1 F2 B2 F3 B3 .. .. \n");
}

TEST(Simulate, FillDrainAsDrawn) {
  const Timeline timeline = simulate(make_schedule("fill-drain", 3, 4), equal_stages(3, 1, 1));
  EXPECT_EQ(draw(timeline),
            "F0 F1 F2 F3 .. .. .. .. B0 B1 B2 B3 \n"
            ".. F0 F1 F2 F3 .. .. B0 B1 B2 B3 .. \n"
            ".. .. F0 F1 F2 F3 B0 B1 B2 B3 .. .. \n");
}

TEST(Simulate, ZeroBubbleAsDrawn) {
  const Timeline timeline = simulate(make_schedule("zero-bubble", 3, 4), equal_stages(3, 1, 1, 1));
  EXPECT_EQ(draw(timeline),
            "F0 F1 F2 .. .. B0 W0 F3 B1 W1 B2 W2 B3 W3 \n"
            ".. F0 F1 .. B0 F2 B1 W0 F3 B2 W1 B3 W2 W3 \n"
            ".. .. F0 B0 F1 B1 F2 B2 W0 F3 B3 W1 W2 W3 \n");
}

/// Qi et al.: where F = B = W, 1F1B idles 3 (P - 1) of them and ZB-H1 P - 1.
TEST(Simulate, ZeroBubbleLeavesAThirdOfTheBubbles) {
  for (int P = 1; P <= 6; ++P) {
    for (int M = P; M <= 3 * P; ++M) {
      EXPECT_DOUBLE_EQ(simulate_makespan_ns(make_schedule("1f1b", P, M), equal_stages(P, 1, 2)),
                       3 * (M + P - 1));
      EXPECT_DOUBLE_EQ(
          simulate_makespan_ns(make_schedule("zero-bubble", P, M), equal_stages(P, 1, 1, 1)),
          3 * M + P - 1);
    }
  }
}

TEST(Simulate, ForwardOnlyHasNoBackward) {
  EXPECT_DOUBLE_EQ(simulate_makespan_ns(make_schedule("forward-only", 3, 4), equal_stages(3, 2, 9)),
                   2 * (3 + 4 - 1));
}

TEST(Simulate, OneStageIsTheSumOfItsActions) {
  std::vector<StageTimes> times = equal_stages(1, 2, 5);
  times[0].reduce_ns = 3;
  times[0].update_ns = 11;
  times[0].send_forward_ns = {100};  // the last stage sends to nobody
  EXPECT_DOUBLE_EQ(simulate_makespan_ns(make_schedule("1f1b", 1, 4), times), 4 * 7 + 14);
}

TEST(Simulate, LinksDelayAndDoNotOccupy) {
  std::vector<StageTimes> times = equal_stages(2, 1, 1);
  times[0].send_forward_ns = {10};
  times[1].send_backward_ns = {20};
  const Timeline timeline = simulate(make_schedule("fill-drain", 2, 2), times);
  // stage 0: F0 [0,1] F1 [1,2]; stage 1: F0 [11,12] F1 [12,13] B0 [13,14]; back at 34.
  EXPECT_DOUBLE_EQ(timeline.stages[1][0].begin_ns, 11);
  EXPECT_DOUBLE_EQ(timeline.stages[1][1].begin_ns, 12);
  EXPECT_DOUBLE_EQ(timeline.stages[0][2].begin_ns, 34);
  EXPECT_DOUBLE_EQ(timeline.makespan_ns, 36);
}

TEST(Simulate, ReductionAndUpdateOfOneStageOverlapTheOthersBackwards) {
  std::vector<StageTimes> times = equal_stages(2, 1, 1);
  times[1].update_ns = 1;  // hidden behind stage 0's last backward
  EXPECT_DOUBLE_EQ(simulate_makespan_ns(make_schedule("1f1b", 2, 3), times), 8);
  times[0].reduce_ns = 2;
  times[0].update_ns = 4;
  EXPECT_DOUBLE_EQ(simulate_makespan_ns(make_schedule("1f1b", 2, 3), times), 14);
}

TEST(Simulate, SpansAreWholeAndInOrder) {
  const Schedule schedule = make_schedule("1f1b", 4, 3);
  const Timeline timeline = simulate(schedule, equal_stages(4, 2, 3));
  for (int s = 0; s < 4; ++s) {
    const auto& spans = timeline.stages[static_cast<std::size_t>(s)];
    const auto& actions = schedule.actions[static_cast<std::size_t>(s)];
    ASSERT_EQ(spans.size(), actions.size());
    for (std::size_t i = 0; i < spans.size(); ++i) {
      EXPECT_EQ(spans[i].action, actions[i]);
      EXPECT_GE(spans[i].begin_ns, i == 0 ? 0 : spans[i - 1].end_ns);
    }
  }
}

struct Instance {
  Schedule schedule;
  std::vector<StageTimes> times;
};

/// Times per micro-batch or for all, links in both directions or none.
Instance random_instance(Random& random) {
  const int stages = random_int(random, 1, 6);
  const int micro_batches = random_int(random, 1, 12);
  const auto& names = schedule_names();
  Instance instance{make_schedule(names[static_cast<std::size_t>(random_int(random, 0, 3))], stages,
                                  micro_batches),
                    {}};
  for (int s = 0; s < stages; ++s) {
    const auto some = [&] { return random_int(random, 0, 1) == 0 ? 1 : micro_batches; };
    StageTimes& times = instance.times.emplace_back();
    times.forward_ns = random_times(random, some());
    times.backward_ns = random_times(random, some());
    if (random_int(random, 0, 3) > 0) times.weight_gradient_ns = random_times(random, some());
    if (random_int(random, 0, 1) == 1) times.send_forward_ns = random_times(random, some());
    if (random_int(random, 0, 1) == 1) times.send_backward_ns = random_times(random, some());
    times.reduce_ns = random_ns(random);
    times.update_ns = random_ns(random);
  }
  return instance;
}

TEST(Simulate, AgreesWithTheNaiveSimulator) {
  Random random(20240611);
  for (int i = 0; i < 1000; ++i) {
    const Instance instance = random_instance(random);
    SCOPED_TRACE(to_text(instance.schedule));
    const NaiveSimulator naive(instance.schedule, instance.times);
    const Timeline timeline = simulate(instance.schedule, instance.times);
    for (const auto& spans : timeline.stages) {
      for (const Span& span : spans) ASSERT_DOUBLE_EQ(span.end_ns, naive.end_ns(span.action));
    }
    ASSERT_DOUBLE_EQ(timeline.makespan_ns, naive.makespan_ns());
    ASSERT_EQ(timeline.makespan_ns, simulate_makespan_ns(instance.schedule, instance.times));
  }
}

TEST(Simulate, ADeadlockIsOurBug) {
  const Schedule deadlocked = parse_schedule("0F0 0B0 0F1 0B1 0R 0U\n1F0 1F1 1B0 1B1 1R 1U\n", "x");
  EXPECT_THROW(simulate(deadlocked, equal_stages(2, 1, 1)), InternalError);
  EXPECT_THROW(simulate_makespan_ns(deadlocked, equal_stages(2, 1, 1)), InternalError);
}

TEST(Simulate, TimesMustFitTheSchedule) {
  const Schedule schedule = make_schedule("1f1b", 2, 3);
  EXPECT_THROW(simulate_makespan_ns(schedule, equal_stages(3, 1, 1)), InternalError);
  std::vector<StageTimes> times = equal_stages(2, 1, 1);
  times[1].backward_ns = {1, 1};
  EXPECT_THROW(simulate_makespan_ns(schedule, times), InternalError);
}

}  // namespace
}  // namespace millrace
