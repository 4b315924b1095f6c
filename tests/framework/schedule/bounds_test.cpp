// The bounds against simulation on random pipelines.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <string>

#include "millrace/errors.hpp"
#include "millrace/schedule.hpp"
#include "tests/framework/schedule/random_pipeline.hpp"

namespace millrace {
namespace {

using testing::Random;
using testing::random_int;
using testing::random_times;

constexpr double kRoundOff = 1e-12;

struct Pipeline {
  int micro_batches = 1;
  std::vector<double> forward_ns, backward_ns, link_ns;

  int stages() const { return static_cast<int>(forward_ns.size()); }

  double simulated_ns(const std::string& schedule) const {
    std::vector<StageTimes> times(forward_ns.size());
    for (std::size_t s = 0; s < times.size(); ++s) {
      times[s].forward_ns = {forward_ns[s]};
      times[s].backward_ns = {backward_ns[s]};
      if (s < link_ns.size()) times[s].send_forward_ns = {link_ns[s]};
      if (s > 0 && s - 1 < link_ns.size()) times[s].send_backward_ns = {link_ns[s - 1]};
    }
    return simulate_makespan_ns(make_schedule(schedule, stages(), micro_batches), times);
  }

  double bound_ns() const { return bound_1f1b_ns(forward_ns, backward_ns, link_ns, micro_batches); }
};

Pipeline random_pipeline(Random& random, double link_scale) {
  Pipeline pipeline;
  const int stages = random_int(random, 1, 6);
  pipeline.micro_batches = random_int(random, 1, 20);
  pipeline.forward_ns = random_times(random, stages);
  pipeline.backward_ns = random_times(random, stages);
  if (link_scale > 0) {
    pipeline.link_ns = random_times(random, stages - 1);
    for (double& link : pipeline.link_ns) link *= link_scale;
  }
  return pipeline;
}

/// The simpler bound from the fill and the drain of one stage alone; docs/schedules.md.
double one_stage_bound_ns(const Pipeline& pipeline) {
  const auto& [M, F, B, c] = pipeline;
  const int P = pipeline.stages();
  double once_through = 0;
  for (int s = 0; s < P; ++s)
    once_through += F[s] + B[s] + (c.empty() || s + 1 == P ? 0 : 2 * c[s]);
  double bound = once_through, before = 0;
  for (int s = 0; s < P; ++s) {
    const int W = std::min(M, P - s);
    const double behind = once_through - before - F[s] - B[s];
    const double filling = std::max(0.0, behind - (W - 1) * F[s]);
    const double draining = std::max(0.0, behind - (W - 1) * B[s]);
    const double idle = M > W ? filling + draining : filling;
    bound = std::max(bound, before + M * (F[s] + B[s]) + idle);
    before += F[s] + B[s] + (c.empty() || s + 1 == P ? 0 : 2 * c[s]);
  }
  return bound;
}

struct Gaps {
  int violations = 0;
  int weaker = 0;  ///< than the bound of one stage
  double mean = 0, worst = 0;
};

constexpr int kPipelines = 10000;

Gaps gaps_of(double link_scale, unsigned seed) {
  Random random(seed);
  Gaps gaps;
  for (int i = 0; i < kPipelines; ++i) {
    const Pipeline pipeline = random_pipeline(random, link_scale);
    const double simulated = pipeline.simulated_ns("1f1b");
    const double bound = pipeline.bound_ns();
    if (bound > simulated * (1 + kRoundOff)) ++gaps.violations;
    if (bound < one_stage_bound_ns(pipeline) * (1 - kRoundOff)) ++gaps.weaker;
    gaps.mean += (simulated / bound - 1) / kPipelines;
    gaps.worst = std::max(gaps.worst, simulated / bound - 1);
  }
  std::printf("links x %g: mean gap %.3f %%, worst %.1f %%\n", link_scale, 100 * gaps.mean,
              100 * gaps.worst);
  return gaps;
}

/// Stage times over two decades; links from none to ten times the stages'.
class Bound1F1B : public ::testing::TestWithParam<double> {};

TEST_P(Bound1F1B, IsNeverAboveSimulationAndClose) {
  const Gaps gaps = gaps_of(GetParam(), 1);
  EXPECT_EQ(gaps.violations, 0);
  EXPECT_EQ(gaps.weaker, 0);
  EXPECT_LT(gaps.mean, 0.01);
  EXPECT_LT(gaps.worst, 0.25);
}

INSTANTIATE_TEST_SUITE_P(Links, Bound1F1B, ::testing::Values(0, 0.01, 0.1, 1, 10));

TEST(Bound1F1BExact, OneStage) {
  EXPECT_DOUBLE_EQ(bound_1f1b_ns({2}, {5}, {}, 4), 4 * 7);
  EXPECT_DOUBLE_EQ(bound_1f1b_ns({2}, {5}, {}, 1), 7);
}

TEST(Bound1F1BExact, OneMicroBatch) {
  EXPECT_DOUBLE_EQ(bound_1f1b_ns({2, 3, 4}, {5, 1, 6}, {10, 20}, 1), 21 + 2 * 30);
}

TEST(Bound1F1BExact, EqualStagesWithoutLinks) {
  for (int stages = 1; stages <= 6; ++stages) {
    for (int micro_batches = 1; micro_batches <= 12; ++micro_batches) {
      const Pipeline pipeline{
          micro_batches, std::vector<double>(stages, 1), std::vector<double>(stages, 2), {}};
      EXPECT_DOUBLE_EQ(pipeline.bound_ns(), 3.0 * (micro_batches + stages - 1));
      EXPECT_DOUBLE_EQ(pipeline.simulated_ns("1f1b"), pipeline.bound_ns());
    }
  }
}

TEST(Bound1F1BExact, ALinkThatStarvesTheFirstStage) {
  // Two in flight: a turn takes 1 + 1 + 1 + 1 + 2 * 10 ns for two micro-batches. Without the turns
  // the bound would be 82 ns.
  const Pipeline pipeline{20, {1, 1}, {1, 1}, {10}};
  EXPECT_DOUBLE_EQ(pipeline.simulated_ns("1f1b"), 10 * 24 + 2);
  EXPECT_DOUBLE_EQ(pipeline.bound_ns(), 10 * 24 + 1);
  EXPECT_DOUBLE_EQ(one_stage_bound_ns(pipeline), 82);
}

TEST(FillDrain, IsExactWithoutLinks) {
  Random random(4);
  for (int i = 0; i < kPipelines; ++i) {
    const Pipeline pipeline = random_pipeline(random, 0);
    const double exact =
        fill_drain_ns(pipeline.forward_ns, pipeline.backward_ns, pipeline.micro_batches);
    ASSERT_NEAR(pipeline.simulated_ns("fill-drain"), exact, kRoundOff * exact);
  }
}

TEST(Bounds, TimesMustFitTogether) {
  EXPECT_THROW(bound_1f1b_ns({}, {}, {}, 1), InternalError);
  EXPECT_THROW(bound_1f1b_ns({1}, {1, 2}, {}, 1), InternalError);
  EXPECT_THROW(bound_1f1b_ns({1, 1, 1}, {1, 1, 1}, {1}, 1), InternalError);
  EXPECT_THROW(bound_1f1b_ns({1}, {1}, {}, 0), InternalError);
  EXPECT_THROW(fill_drain_ns({1}, {1, 2}, 1), InternalError);
}

}  // namespace
}  // namespace millrace
