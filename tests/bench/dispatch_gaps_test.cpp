#include "bench/dispatch_gaps.hpp"

#include <gtest/gtest.h>

namespace millrace::bench {
namespace {

TaskSpan span(ActionKind kind, int stage, int worker, std::int64_t begin, std::int64_t end) {
  return {{stage, kind, 0}, stage, worker, begin, end};
}

//   s0w0  |--F--|         |-B-|
//   s0w1  |---F----|      |-B-|
//   s1w0            |F||B|
//        10 20  30 35 40 42 50 56 60
StepReport two_stages() {
  StepReport report;
  report.begin_ns = 10;
  report.tasks = {
      span(ActionKind::forward, 0, 0, 12, 20), span(ActionKind::backward, 0, 0, 56, 60),
      span(ActionKind::forward, 0, 1, 11, 30), span(ActionKind::backward, 0, 1, 51, 62),
      span(ActionKind::forward, 1, 0, 35, 40), span(ActionKind::backward, 1, 0, 42, 50)};
  return report;
}

TEST(DispatchGaps, CountFromWhatIsTakenOrFromTheWorkersLastTask) {
  const auto gaps = dispatch_gaps(two_stages(), 2);
  ASSERT_EQ(gaps.size(), 6U);
  EXPECT_EQ(gaps[0].gap_ns, 2);  // the step began at 10
  EXPECT_EQ(gaps[1].gap_ns, 6);  // the other stage was done at 50
  EXPECT_EQ(gaps[2].gap_ns, 1);
  EXPECT_EQ(gaps[3].gap_ns, 1);
  EXPECT_EQ(gaps[4].gap_ns, 5);  // the slower worker was done at 30
  EXPECT_EQ(gaps[5].gap_ns, 2);  // its own forward pass, at 40
}

TEST(DispatchGaps, SayHowLongAWorkerWaited) {
  const auto gaps = dispatch_gaps(two_stages(), 2);
  EXPECT_EQ(gaps[0].waited_ns, 0);
  EXPECT_EQ(gaps[1].waited_ns, 30);
  EXPECT_EQ(gaps[3].waited_ns, 20);
  EXPECT_EQ(gaps[4].waited_ns, 20);
  EXPECT_EQ(gaps[5].waited_ns, 0);
}

}  // namespace
}  // namespace millrace::bench
