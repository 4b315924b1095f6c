#include "framework/topology/core_kinds.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "framework/topology/core_models.hpp"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

RawKind capacity_kind(std::vector<int> cpus, const std::string& capacity) {
  return {std::move(cpus), -1, {{"LinuxCapacity", capacity}}};
}

std::vector<int> first_cpus(int count) {
  std::vector<int> cpus(static_cast<std::size_t>(count));
  std::iota(cpus.begin(), cpus.end(), 0);
  return cpus;
}

// One CPU per core.
CoreKinds form(const std::vector<RawKind>& raw, int cpus) {
  std::vector<std::vector<int>> cores;
  for (const int cpu : first_cpus(cpus)) cores.push_back({cpu});
  return form_core_kinds(raw, first_cpus(cpus), cores);
}

std::vector<std::string> names(const CoreKinds& formed) {
  std::vector<std::string> result;
  for (const CoreKind& kind : formed.kinds) result.push_back(kind.name);
  return result;
}

TEST(CoreKinds, OfAMachineWithoutKindsIsOne) {
  const CoreKinds formed = form({}, 4);
  ASSERT_THAT(formed.kinds, SizeIs(1));
  EXPECT_EQ(formed.kinds[0], (CoreKind{"core", {0, 1, 2, 3}, 1.0, ""}));
  EXPECT_THAT(formed.warnings, IsEmpty());
}

TEST(CoreKinds, AreOrderedByCapacityAndNamed) {
  const CoreKinds formed = form({capacity_kind({0, 1}, "397"), capacity_kind({2, 3}, "1024")}, 4);
  EXPECT_THAT(names(formed), ElementsAre("big", "little"));
  EXPECT_THAT(formed.kinds[0].cpus, ElementsAre(2, 3));
  EXPECT_DOUBLE_EQ(formed.kinds[1].relative_speed, 397.0 / 1024.0);
}

TEST(CoreKinds, BeyondTwoHaveNamesOfTheirOwn) {
  const std::vector<RawKind> raw = {capacity_kind({0}, "1000"), capacity_kind({1}, "700"),
                                    capacity_kind({2}, "500"), capacity_kind({3}, "300"),
                                    capacity_kind({4}, "200")};
  EXPECT_THAT(names(form({raw[0], raw[1], raw[2]}, 3)), ElementsAre("big", "medium", "little"));
  EXPECT_THAT(names(form(raw, 5)), ElementsAre("big", "medium", "little", "kind3", "kind4"));
}

// A board whose kernel tells five capacities for two kinds of core.
TEST(CoreKinds, WithinTenPercentAreMerged) {
  const CoreKinds formed =
      form({capacity_kind({0}, "718"), capacity_kind({1}, "731"), capacity_kind({2}, "997"),
            capacity_kind({3, 4, 5}, "1009"), capacity_kind({6}, "1024")},
           7);
  EXPECT_THAT(names(formed), ElementsAre("big", "little"));
  EXPECT_THAT(formed.kinds[0].cpus, ElementsAre(2, 3, 4, 5, 6));
  EXPECT_THAT(formed.kinds[1].cpus, ElementsAre(0, 1));
  const double big = (1024.0 + 3 * 1009.0 + 997.0) / 5;  // weighted by cores
  EXPECT_DOUBLE_EQ(formed.kinds[1].relative_speed, (731.0 + 718.0) / 2 / big);
}

TEST(CoreKinds, AtExactlyTenPercentAreMergedAndBeyondNot) {
  EXPECT_THAT(form({capacity_kind({0}, "1000"), capacity_kind({1}, "900")}, 2).kinds, SizeIs(1));
  EXPECT_THAT(form({capacity_kind({0}, "1000"), capacity_kind({1}, "899")}, 2).kinds, SizeIs(2));
}

// 1000, 920, 850: each is within 10 % of its neighbour, but the last is not of the first.
TEST(CoreKinds, OnASlopeDoNotCollapseIntoOne) {
  const CoreKinds formed =
      form({capacity_kind({0}, "1000"), capacity_kind({1}, "920"), capacity_kind({2}, "850")}, 3);
  ASSERT_THAT(formed.kinds, SizeIs(2));
  EXPECT_THAT(formed.kinds[0].cpus, ElementsAre(0, 1));
}

TEST(CoreKinds, UseTheClockWhereNotAllHaveACapacity) {
  const CoreKinds formed = form({{{0}, -1, {{"FrequencyMaxMHz", "1400"}}},
                                 {{1}, -1, {{"FrequencyMaxMHz", "2000"}, {"LinuxCapacity", "1"}}}},
                                2);
  ASSERT_THAT(formed.kinds, SizeIs(2));
  EXPECT_THAT(formed.kinds[0].cpus, ElementsAre(1));
  EXPECT_DOUBLE_EQ(formed.kinds[1].relative_speed, 0.7);
}

TEST(CoreKinds, WithRanksAloneAreGuessedWithAWarning) {
  const CoreKinds formed =
      form({{{0}, 0, {{"CoreType", "Little"}}}, {{1}, 1, {{"CoreType", "Big"}}}}, 2);
  EXPECT_THAT(names(formed), ElementsAre("big", "little"));
  EXPECT_EQ(formed.kinds[0].model, "Big");
  EXPECT_DOUBLE_EQ(formed.kinds[1].relative_speed, 0.4);
  ASSERT_THAT(formed.warnings, SizeIs(1));
  EXPECT_EQ(formed.warnings[0].tag, "kinds");
  EXPECT_THAT(formed.warnings[0].message, HasSubstr("millrace profile"));
}

// A virtual machine gives every CPU the capacity 1024; hwloc was told that one is slower.
TEST(CoreKinds, OfEqualCapacityAreToldApartByTheirRank) {
  const CoreKinds formed = form({{{1}, 0, {{"LinuxCapacity", "1024"}, {"CoreType", "Little"}}},
                                 {{0}, 1, {{"LinuxCapacity", "1024"}, {"CoreType", "Big"}}}},
                                2);
  EXPECT_THAT(names(formed), ElementsAre("big", "little"));
  EXPECT_THAT(formed.kinds[0].cpus, ElementsAre(0));
  EXPECT_DOUBLE_EQ(formed.kinds[1].relative_speed, 0.4);
}

// Favoured cores of a desktop processor: the capacity is one, the clocks are close.
TEST(CoreKinds, OfEqualCapacityAreToldApartByTheirClock) {
  const auto kind = [](int cpu, int rank, const char* max, const char* base) {
    return RawKind{
        {cpu},
        rank,
        {{"LinuxCapacity", "1024"}, {"FrequencyMaxMHz", max}, {"FrequencyBaseMHz", base}}};
  };
  EXPECT_THAT(form({kind(0, 0, "5000", "3000"), kind(1, 1, "5200", "3000")}, 2).kinds, SizeIs(1));
  const CoreKinds formed = form({kind(0, 0, "3900", "2100"), kind(1, 1, "3900", "2800")}, 2);
  ASSERT_THAT(formed.kinds, SizeIs(2));
  EXPECT_DOUBLE_EQ(formed.kinds[1].relative_speed, 0.75);
}

TEST(CoreKinds, WithManyRanksStayApart) {
  std::vector<RawKind> raw;
  for (int rank = 0; rank < 9; ++rank) raw.push_back({{rank}, rank, {}});
  const CoreKinds formed = form(raw, 9);
  ASSERT_THAT(formed.kinds, SizeIs(9));
  EXPECT_THAT(formed.kinds[0].cpus, ElementsAre(8));
  EXPECT_DOUBLE_EQ(formed.kinds[8].relative_speed, 0.4);
}

TEST(CoreKinds, WithoutAnyOrderStayApartAtOneSpeed) {
  const CoreKinds formed = form({{{0}, -1, {}}, {{1}, -1, {}}}, 2);
  ASSERT_THAT(formed.kinds, SizeIs(2));
  EXPECT_DOUBLE_EQ(formed.kinds[1].relative_speed, 1.0);
  EXPECT_THAT(formed.warnings, SizeIs(1));
}

class BadSpeed : public ::testing::TestWithParam<const char*> {};

TEST_P(BadSpeed, IsNotBelieved) {
  const CoreKinds formed = form({capacity_kind({0}, GetParam()), capacity_kind({1}, "1024")}, 2);
  EXPECT_THAT(formed.warnings, SizeIs(1)) << "the order of ranks is all that is left";
}

INSTANTIATE_TEST_SUITE_P(All, BadSpeed,
                         ::testing::Values("", "0", "-5", "fast", "10x", "nan", "inf"));

TEST(CoreKinds, OfUncoveredCoresIsOneOfItsOwn) {
  const CoreKinds formed = form({capacity_kind({0, 1}, "1024"), capacity_kind({2}, "500")}, 5);
  EXPECT_THAT(names(formed), ElementsAre("big", "medium", "little"));
  EXPECT_THAT(formed.kinds[1].cpus, ElementsAre(3, 4));
  EXPECT_DOUBLE_EQ(formed.kinds[1].relative_speed, 1.0);
  ASSERT_THAT(formed.warnings, SizeIs(1));
  EXPECT_THAT(formed.warnings[0].message, HasSubstr("CPUs 3-4 are in no kind"));
}

TEST(CoreKinds, HoldUsableCpusOnly) {
  const std::vector<std::vector<int>> cores = {{0}, {1}, {2}, {3}};
  const CoreKinds formed =
      form_core_kinds({capacity_kind({0, 1}, "397"), capacity_kind({2, 3}, "1024")}, {1}, cores);
  ASSERT_THAT(formed.kinds, SizeIs(1));
  EXPECT_EQ(formed.kinds[0], (CoreKind{"core", {1}, 1.0, ""}));
}

TEST(CoreKinds, ListOneCpuOfEachCoreFirst) {
  // Siblings as x86 numbers them on small and on large machines.
  const auto cpus = [](const std::vector<std::vector<int>>& cores, std::vector<int> usable) {
    return form_core_kinds({}, usable, cores).kinds.at(0).cpus;
  };
  EXPECT_THAT(cpus({{0, 2}, {1, 3}}, {0, 1, 2, 3}), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(cpus({{0, 1}, {2, 3}}, {0, 1, 2, 3}), ElementsAre(0, 2, 1, 3));
  EXPECT_THAT(cpus({{0, 1}, {2, 3}}, {1, 2, 3}), ElementsAre(1, 2, 3));
}

TEST(CoreKinds, JoinTheModelsOfWhatIsMerged) {
  const auto kind = [](int cpu, const char* capacity, const char* model) {
    return RawKind{{cpu}, -1, {{"LinuxCapacity", capacity}, {"CoreType", model}}};
  };
  const CoreKinds formed =
      form({kind(0, "1000", "A"), kind(1, "980", "B"), kind(2, "960", "A")}, 3);
  ASSERT_THAT(formed.kinds, SizeIs(1));
  EXPECT_EQ(formed.kinds[0].model, "A/B");
}

TEST(CoreKinds, NameArmCoresByTheirPart) {
  const auto model = [](const char* part) {
    return form({{{0}, -1, {{"CPUPart", part}}}}, 1).kinds.at(0).model;
  };
  EXPECT_EQ(model("0xd0b"), "Cortex-A76");
  EXPECT_EQ(model("0xfff"), "");
  EXPECT_EQ(model("d0b"), "");
  EXPECT_EQ(model("0x"), "");
}

TEST(ArmCoreModel, DependsOnImplementerAndPart) {
  EXPECT_EQ(arm_core_model(0x41, 0xd05), "Cortex-A55");
  EXPECT_EQ(arm_core_model(0x53, 0x001), "Exynos M1");
  EXPECT_EQ(arm_core_model(0x53, 0xd05), "");
}

}  // namespace
}  // namespace millrace
