#include "framework/profile/core_rates.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace {
namespace {

using ::testing::ElementsAre;
using Verdict = RateChange::Verdict;

Topology machine(const std::vector<CoreKind>& kinds, std::vector<std::vector<int>> cores) {
  Topology topology;
  topology.kinds = kinds;
  topology.cores = std::move(cores);
  return topology;
}

const Topology kFourEqual = machine({{"core", {0, 1, 2, 3}}}, {{0}, {1}, {2}, {3}});
const Topology kBigLittle =
    machine({{"big", {2, 3}, 1.0, "Cortex-A76"}, {"little", {0, 1}, 0.4, "Cortex-A55"}},
            {{0}, {1}, {2}, {3}});

TEST(FormKinds, LeavesCoresWithinTenPercentTogether) {
  const CoreRates rates = {{0, 100}, {1, 92}, {2, 91}, {3, 99}};
  EXPECT_FALSE(kinds_differ(kFourEqual, rates));
  EXPECT_EQ(form_kinds(kFourEqual, rates), kFourEqual);
}

TEST(FormKinds, MakesASlowCoreAKindOfItsOwn) {
  const CoreRates rates = {{0, 100}, {1, 99}, {2, 40}, {3, 100}};
  EXPECT_TRUE(kinds_differ(kFourEqual, rates));
  const Topology formed = form_kinds(kFourEqual, rates);
  ASSERT_EQ(formed.kinds.size(), 2U);
  EXPECT_EQ(formed.kinds[0].name, "big");
  EXPECT_THAT(formed.kinds[0].cpus, ElementsAre(0, 1, 3));
  EXPECT_EQ(formed.kinds[1].name, "little");
  EXPECT_THAT(formed.kinds[1].cpus, ElementsAre(2));
  EXPECT_DOUBLE_EQ(formed.kinds[1].relative_speed, 0.4);
}

TEST(FormKinds, OrdersDividedKindsBySpeed) {
  const CoreRates rates = {{0, 40}, {1, 40}, {2, 100}, {3, 20}};
  const Topology formed = form_kinds(kBigLittle, rates);
  ASSERT_EQ(formed.kinds.size(), 3U);
  EXPECT_EQ(formed.kinds[0].name, "big");
  EXPECT_THAT(formed.kinds[0].cpus, ElementsAre(2));
  EXPECT_EQ(formed.kinds[1].name, "medium");
  EXPECT_THAT(formed.kinds[1].cpus, ElementsAre(0, 1));
  EXPECT_EQ(formed.kinds[2].name, "little");
  EXPECT_THAT(formed.kinds[2].cpus, ElementsAre(3));
  EXPECT_EQ(formed.kinds[2].model, "Cortex-A76") << "what it is does not change";
}

TEST(FormKinds, KeepsNamesAndMeasuresSpeedWhereNothingIsDivided) {
  const Topology formed = form_kinds(kBigLittle, {{0, 25}, {1, 25}, {2, 100}, {3, 100}});
  ASSERT_EQ(formed.kinds.size(), 2U);
  EXPECT_EQ(formed.kinds[1].name, "little");
  EXPECT_DOUBLE_EQ(formed.kinds[1].relative_speed, 0.25);
}

TEST(FormKinds, KeepsSiblingsOfACoreTogether) {
  const Topology smt = machine({{"core", {0, 1, 2, 3}}}, {{0, 2}, {1, 3}});
  const Topology formed = form_kinds(smt, {{0, 100}, {1, 50}});
  ASSERT_EQ(formed.kinds.size(), 2U);
  EXPECT_THAT(formed.kinds[0].cpus, ElementsAre(0, 2));
  EXPECT_THAT(formed.kinds[1].cpus, ElementsAre(1, 3));
}

TEST(FormKinds, NumbersMoreThanThreeKinds) {
  const Topology formed = form_kinds(kFourEqual, {{0, 100}, {1, 50}, {2, 25}, {3, 12}});
  ASSERT_EQ(formed.kinds.size(), 4U);
  EXPECT_EQ(formed.kinds[2].name, "little");
  EXPECT_EQ(formed.kinds[3].name, "kind3");
}

TEST(CompareRates, WithinToleranceIsTheSame) {
  EXPECT_EQ(compare_rates({{0, 100}, {1, 50}}, {{0, 97}, {1, 51}}).verdict, Verdict::same);
}

TEST(CompareRates, AllCoresByOneFactorIsUniform) {
  const RateChange change = compare_rates({{0, 100}, {1, 50}}, {{0, 80}, {1, 40}});
  EXPECT_EQ(change.verdict, Verdict::uniform);
  EXPECT_DOUBLE_EQ(change.factor, 0.8);
}

TEST(CompareRates, ASmallFactorOfAllIsUniformToo) {
  EXPECT_EQ(compare_rates({{0, 100}, {1, 100}}, {{0, 92}, {1, 92}}).verdict, Verdict::uniform);
}

TEST(CompareRates, OneSlowCoreIsAChange) {
  EXPECT_EQ(compare_rates({{0, 100}, {1, 100}}, {{0, 100}, {1, 40}}).verdict, Verdict::changed);
  EXPECT_EQ(compare_rates({{0, 100}, {1, 100}}, {{0, 100}, {1, 83}}).verdict, Verdict::changed)
      << "as new kinds are formed";
}

TEST(CompareRates, ALargeCommonFactorIsAChange) {
  EXPECT_EQ(compare_rates({{0, 100}, {1, 100}}, {{0, 40}, {1, 40}}).verdict, Verdict::changed);
}

TEST(CompareRates, AnotherSetOfCoresIsAChange) {
  EXPECT_EQ(compare_rates({{0, 100}}, {{0, 100}, {1, 100}}).verdict, Verdict::changed);
  EXPECT_EQ(compare_rates({{0, 100}, {1, 100}}, {{0, 100}}).verdict, Verdict::changed);
  EXPECT_EQ(compare_rates({{0, 100}}, {{1, 100}}).verdict, Verdict::changed);
}

TEST(BestOf, TakesTheHigherRateOfEachCore) {
  EXPECT_EQ(best_of({{0, 100}, {1, 80}}, {{0, 90}, {1, 99}}), (CoreRates{{0, 100}, {1, 99}}));
}

}  // namespace
}  // namespace millrace
