#include "framework/plan/curves.hpp"

#include <gtest/gtest.h>

#include <random>

#include "millrace/profile.hpp"
#include "tests/framework/plan/cost_fixtures.hpp"

namespace millrace {
namespace {

Cuts chain_of(int layers) {
  return Cuts(plan_graph(fixtures::plain_chain(std::vector<double>(std::size_t(layers), 1), 1)));
}

const std::vector<std::int64_t> kSamples = {2, 8, 64};

TEST(SamplePoint, InterpolatesAsTheProfileDoes) {
  const std::vector<double> ns = {10, 70, 400};
  const CurveSums sums(chain_of(1), {&ns}, {1}, kSamples.size());
  for (const std::int64_t count : {0, 1, 2, 3, 7, 8, 9, 40, 64, 65, 500}) {
    EXPECT_DOUBLE_EQ(sums.ns(0, 1, sample_point(kSamples, double(count))),
                     interpolate_ns(kSamples, ns, double(count)))
        << count;
  }
}

TEST(CurveSums, AddUpRangesWithTheirFactors) {
  const std::vector<double> a = {10, 70, 400}, b = {1, 2, 3}, c = {5, 5, 5};
  const CurveSums sums(chain_of(3), {&a, &b, &c}, {1, 2, 10}, kSamples.size());
  const SamplePoint at_8 = sample_point(kSamples, 8);
  EXPECT_EQ(sums.ns(0, 3, at_8), 70 + 4 + 50);
  EXPECT_EQ(sums.ns(1, 2, at_8), 4);
  EXPECT_EQ(sums.ns(2, 2, at_8), 0);
  EXPECT_EQ(sums.ns_at(1, 3, 2), 6 + 50);
}

TEST(CurveSums, KnowWhichLayersHaveTheCost) {
  const std::vector<double> a = {10, 70, 400};
  const CurveSums sums(chain_of(3), {&a, nullptr, &a}, {1, 1, 1}, kSamples.size());
  EXPECT_TRUE(sums.covers(0, 1));
  EXPECT_FALSE(sums.covers(0, 2));
  EXPECT_FALSE(sums.covers(1, 3));
  EXPECT_TRUE(sums.covers(2, 3));
  EXPECT_TRUE(sums.covers(1, 1));
}

TEST(Line, InvertsItself) {
  EXPECT_DOUBLE_EQ((Line{2, 3}.samples_within(11)), 4);
  EXPECT_GT((Line{0, 3}.samples_within(3)), 1e6);
  EXPECT_EQ((Line{0, 3}.samples_within(2)), 0);
}

TEST(ShareCurve, InvertsItself) {
  std::mt19937 random(5);
  std::uniform_real_distribution<double> real(1, 100);
  for (int round = 0; round < 300; ++round) {
    std::vector<double> forward, backward;
    double sum = 0;
    for (std::size_t i = 0; i < kSamples.size(); ++i) {
      forward.push_back(sum += real(random));
      backward.push_back(2 * sum);
    }
    const PassSums sums{CurveSums(chain_of(1), {&forward}, {1}, 3),
                        CurveSums(chain_of(1), {&backward}, {1}, 3)};
    ShareCurve curve;
    curve.samples = &kSamples;
    curve.sums = &sums;
    curve.last = 1;
    curve.forwards = round % 2 + 1;
    curve.added = {real(random) / 50, real(random)};
    if (round % 3 == 0) curve.floors[0] = {real(random), 0};
    for (const std::int64_t count : {1, 2, 5, 8, 30, 64, 200}) {
      const double limit = curve.ns(count);
      EXPECT_NEAR(curve.samples_within(limit), double(count), 1e-6 * double(count)) << round;
    }
  }
}

TEST(ShareCurve, CountsForwardAgainAndTransfersBeside) {
  const std::vector<double> forward = {10, 40, 320}, backward = {20, 80, 640};
  const PassSums sums{CurveSums(chain_of(1), {&forward}, {1}, 3),
                      CurveSums(chain_of(1), {&backward}, {1}, 3)};
  ShareCurve curve;
  curve.samples = &kSamples;
  curve.sums = &sums;
  curve.last = 1;
  EXPECT_EQ(curve.ns(8), 120);
  curve.forwards = 2;
  EXPECT_EQ(curve.ns(8), 160);
  curve.added = {1, 5};
  EXPECT_EQ(curve.ns(8), 160 + 8 + 5);
  curve.floors[1] = {100, 0};
  EXPECT_EQ(curve.ns(8), 800);
}

}  // namespace
}  // namespace millrace
