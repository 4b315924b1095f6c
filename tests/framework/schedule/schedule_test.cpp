// What make_schedule makes.

#include "millrace/schedule.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

TEST(MakeSchedule, OneForwardOneBackward) {
  EXPECT_EQ(to_text(make_schedule("1f1b", 2, 3)),
            "0F0 0F1 0B0 0F2 0B1 0B2 0R 0U\n"
            "1F0 1B0 1F1 1B1 1F2 1B2 1R 1U\n");
}

TEST(MakeSchedule, FillDrain) {
  EXPECT_EQ(to_text(make_schedule("fill-drain", 2, 2)),
            "0F0 0F1 0B0 0B1 0R 0U\n"
            "1F0 1F1 1B0 1B1 1R 1U\n");
}

TEST(MakeSchedule, ZeroBubble) {
  EXPECT_EQ(to_text(make_schedule("zero-bubble", 2, 3)),
            "0F0 0F1 0B0 0W0 0F2 0B1 0W1 0B2 0W2 0R 0U\n"
            "1F0 1B0 1F1 1B1 1W0 1F2 1B2 1W1 1W2 1R 1U\n");
}

TEST(MakeSchedule, ForwardOnly) {
  EXPECT_EQ(to_text(make_schedule("forward-only", 2, 2)), "0F0 0F1\n1F0 1F1\n");
}

TEST(MakeSchedule, FewerMicroBatchesThanStages) {
  EXPECT_EQ(to_text(make_schedule("1f1b", 3, 1)), "0F0 0B0 0R 0U\n1F0 1B0 1R 1U\n2F0 2B0 2R 2U\n");
  EXPECT_EQ(to_text(make_schedule("zero-bubble", 3, 1)),
            "0F0 0B0 0W0 0R 0U\n1F0 1B0 1W0 1R 1U\n2F0 2B0 2W0 2R 2U\n");
}

/// Micro-batches in flight: of zero-bubble P, however many stages are behind.
int most_in_flight(const std::string& name, int stages, int s, int micro_batches) {
  if (name == "1f1b" || name == "interleaved") return std::min(micro_batches, stages - s);
  return name == "zero-bubble" ? std::min(micro_batches, stages) : micro_batches;
}

TEST(MakeSchedule, EverySizeIsValidAndKeepsItsInFlightLimit) {
  for (int stages = 1; stages <= 6; ++stages) {
    for (int micro_batches = 1; micro_batches <= 9; ++micro_batches) {
      for (const std::string& name : schedule_names()) {
        const Schedule schedule = make_schedule(name, stages, micro_batches);
        EXPECT_NO_THROW(validate(schedule)) << to_text(schedule);
        EXPECT_EQ(schedule.stages(), stages);
        EXPECT_EQ(schedule.micro_batches, micro_batches);
        for (int s = 0; s < stages; ++s) {
          EXPECT_EQ(peak_in_flight(schedule, s), most_in_flight(name, stages, s, micro_batches));
        }
      }
      EXPECT_NO_THROW(validate(make_schedule("forward-only", stages, micro_batches)));
    }
  }
}

TEST(MakeSchedule, EverySchedulePassesBackwardInTheSameOrder) {
  for (const std::string& name : schedule_names()) {
    const Schedule schedule = make_schedule(name, 3, 5);
    EXPECT_EQ(schedule.splits_backward(), splits_backward(name)) << name;
    for (const ActionKind kind : {ActionKind::backward, ActionKind::weight}) {
      int next = 0;
      for (const Action& action : schedule.actions[1]) {
        if (action.kind == kind) {
          EXPECT_EQ(action.micro_batch, next++) << name;
        }
      }
      EXPECT_EQ(next, kind == ActionKind::backward || splits_backward(name) ? 5 : 0);
    }
  }
}

TEST(MakeSchedule, RefusesWhatIsNoStep) {
  EXPECT_THROW(make_schedule("gpipe", 2, 2), ConfigError);
  EXPECT_THROW(make_schedule("", 2, 2), ConfigError);
  EXPECT_THROW(make_schedule("1f1b", 0, 2), ConfigError);
  EXPECT_THROW(make_schedule("1f1b", 2, 0), ConfigError);
  EXPECT_THROW(make_schedule("fill-drain", 2, -1), ConfigError);
}

TEST(PeakInFlight, RefusesAStageThatIsNotThere) {
  EXPECT_THROW(peak_in_flight(make_schedule("1f1b", 2, 2), 2), std::out_of_range);
}

}  // namespace
}  // namespace millrace
