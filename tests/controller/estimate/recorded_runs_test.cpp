// What was promised, and corrected on line, of trainings that were recorded: figures of the
// estimate alone, no clock.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <vector>

#include "millrace/estimate.hpp"
#include "tests/controller/estimate/example.hpp"
#include "tests/controller/estimate/recorded_steps.hpp"

namespace millrace {
namespace {

using Steps = std::vector<double>;  // ns

template <std::size_t N>
Steps steps_of(const int (&microseconds)[N]) {
  Steps steps;
  for (const int us : microseconds) steps.push_back(1000.0 * us);
  return steps;
}

double sum(const Steps& steps) { return std::accumulate(steps.begin(), steps.end(), 0.0); }

/// As many steps from `begin` on as take `seconds`; fewer at the end.
Steps window(const Steps& all, std::size_t begin, double seconds) {
  Steps steps;
  for (double left = 1e9 * seconds; begin < all.size() && left > 0; left -= all[begin++])
    steps.push_back(all[begin]);
  return steps;
}

/// What is promised of `count` steps after those that were tried.
Estimate promise(const Steps& tried, std::size_t count) {
  RunShape shape;
  shape.steps = static_cast<std::int64_t>(count);
  return estimate_run(testing::example_profile(2), testing::example_plan(), shape, 0.99,
                      Rehearsal{tried});
}

struct Score {
  int promises = 0, late = 0;
  double mean_error = 0, largest_error = 0, latest_above = 0;  // parts

  void add(const TimeEstimate& promised, double measured_ns) {
    const double error = std::abs(promised.expected_ns / measured_ns - 1);
    ++promises;
    late += measured_ns > promised.latest_ns ? 1 : 0;
    mean_error += (error - mean_error) / promises;
    largest_error = std::max(largest_error, error);
    latest_above += (promised.latest_ns / promised.expected_ns - 1 - latest_above) / promises;
  }
  double kept() const { return 1 - static_cast<double>(late) / promises; }
};

/// Runs of eight seconds that begin anywhere in the recording, two seconds being tried.
Score score_promises(const Steps& all) {
  Score score;
  for (std::size_t begin = 0; begin < all.size(); begin += 5) {
    const Steps tried = window(all, begin, 2);
    const Steps run = window(all, begin + tried.size(), 8);
    if (sum(run) < 8e9) break;
    score.add(promise(tried, run.size()).run, sum(run));
  }
  return score;
}

/// The remaining time at every step of one run, from `seconds` after its beginning to a second
/// before its end.
Score score_corrections(const Steps& all, double seconds) {
  const Steps tried = window(all, 0, 2);
  RemainingTime left(promise(tried, 1), 0.99);
  double left_ns = sum(all) - sum(tried), trained_ns = 0;
  Score score;
  for (std::size_t i = tried.size(); i < all.size() && left_ns > 1e9; ++i) {
    left.observe(all[i]);
    left_ns -= all[i];
    trained_ns += all[i];
    if (trained_ns >= 1e9 * seconds)
      score.add(left.remaining(static_cast<std::int64_t>(all.size() - i - 1), 0), left_ns);
  }
  return score;
}

TEST(RecordedRuns, OnAQuietMachineThePromiseIsCloseAndKept) {
  const Score score = score_promises(steps_of(testing::kQuietRun));
  EXPECT_GT(score.promises, 20);
  EXPECT_LT(score.mean_error, 0.03);
  EXPECT_LT(score.largest_error, 0.05);
  EXPECT_EQ(score.late, 0);
  EXPECT_LT(score.latest_above, 0.1);
}

TEST(RecordedRuns, OnANoisyMachineTheLatestTimeIsWiderAndMostlyKept) {
  const Score noisy = score_promises(steps_of(testing::kNoisyRun));
  const Score quiet = score_promises(steps_of(testing::kQuietRun));
  EXPECT_GT(noisy.promises, 100);
  EXPECT_GT(noisy.latest_above, 1.2 * quiet.latest_above);
  EXPECT_GT(noisy.kept(), 0.95);
}

TEST(RecordedRuns, WhatIsLeftIsSoonKnownToThreeParts) {
  const Score quiet = score_corrections(steps_of(testing::kQuietRun), 0.5);
  EXPECT_LT(quiet.largest_error, 0.03);
  EXPECT_EQ(quiet.late, 0);
}

TEST(RecordedRuns, TheLatestEndIsKeptWhileTheMachineIsDisturbed) {
  const Score noisy = score_corrections(steps_of(testing::kNoisyRun), 0);
  EXPECT_GT(noisy.promises, 500);
  EXPECT_GT(noisy.kept(), 0.97);
}

}  // namespace
}  // namespace millrace
