#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "millrace/topology.hpp"
#include "tests/framework/topology/fixture.hpp"

namespace millrace {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Topology big_little() {
  Topology topology;
  topology.kinds = {{"big", {4, 6, 5, 7}, 1.0, "B"}, {"little", {0, 1}, 0.4, "L"}};
  topology.cores = {{0}, {1}, {4, 5}, {6, 7}};
  topology.limits.allowed_cpus = {0, 1, 4, 5, 6, 7};
  topology.limits.cpu_quota = 3.0;
  return topology;
}

TEST(Topology, FindsTheKindOfACpu) {
  const Topology topology = big_little();
  EXPECT_EQ(topology.kind_of(6)->name, "big");
  EXPECT_EQ(topology.kind_of(1)->name, "little");
  EXPECT_EQ(topology.kind_of(2), nullptr);
  EXPECT_THAT(topology.cpus(), ElementsAre(0, 1, 4, 5, 6, 7));
}

TEST(DeviceCpus, AreOnePerPhysicalCore) {
  Topology smt;
  smt.kinds = {{"core", {0, 1, 2, 3}, 1.0, ""}};
  smt.cores = {{0, 2}, {1, 3}};
  EXPECT_THAT(device_cpus(smt, smt.kinds[0]), ElementsAre(0, 1));
  EXPECT_THAT(core_of(smt, 3), ElementsAre(1, 3));
  smt.cores = {{0}, {1}, {2}, {3}};
  EXPECT_THAT(device_cpus(smt, smt.kinds[0]), ElementsAre(0, 1, 2, 3));
}

TEST(SelectCores, AllIsTheSame) {
  Topology topology = big_little();
  topology.cores = {{0}, {1}, {4}, {5}, {6}, {7}};
  topology.limits.cpu_quota = std::nullopt;
  EXPECT_EQ(select_cores(topology, "all"), topology);
}

TEST(SelectCores, AllIsNoMoreThanTheQuotaPaysFor) {
  Topology topology = big_little();  // four cores, a quota of three
  const Topology three = select_cores(topology, "all");
  EXPECT_THAT(three.cores, ElementsAre(ElementsAre(0), ElementsAre(4, 5), ElementsAre(6, 7)));
  topology.limits.cpu_quota = 1.5;
  EXPECT_THAT(select_cores(topology, "all").cpus(), ElementsAre(4, 5)) << "one, the fastest";
  topology.limits.cpu_quota = 0.4;
  EXPECT_THAT(select_cores(topology, "all").cpus(), ElementsAre(4, 5)) << "one at the least";
  EXPECT_THAT(select_cores(topology, "0,1").cpus(), ElementsAre(0, 1)) << "asked for by number";
}

TEST(SelectCores, BigAndLittleAreTheFastestAndTheSlowestKind) {
  const Topology big = select_cores(big_little(), "big");
  EXPECT_THAT(big.kinds, ElementsAre(big_little().kinds[0]));
  EXPECT_THAT(big.cores, ElementsAre(ElementsAre(4, 5), ElementsAre(6, 7)));
  EXPECT_THAT(big.limits.allowed_cpus, ElementsAre(4, 5, 6, 7));
  EXPECT_EQ(big.limits.cpu_quota, 3.0);
  const Topology little = select_cores(big_little(), "little");
  EXPECT_THAT(little.kinds, ElementsAre(big_little().kinds[1])) << "name and speed stay";
}

TEST(SelectCores, OfOneKindAreAll) {
  Topology one = big_little();
  one.kinds = {{"core", {0, 1}, 1.0, ""}};
  EXPECT_EQ(select_cores(one, "big").cpus(), one.cpus());
  EXPECT_EQ(select_cores(one, "little").cpus(), one.cpus());
}

TEST(SelectCores, TakesNumbersAcrossKinds) {
  const Topology some = select_cores(big_little(), "1,5-7");
  ASSERT_EQ(some.kinds.size(), 2u);
  EXPECT_THAT(some.kinds[0].cpus, ElementsAre(6, 5, 7)) << "in the order of the kind";
  EXPECT_THAT(some.kinds[1].cpus, ElementsAre(1));
  EXPECT_THAT(some.cores, ElementsAre(ElementsAre(1), ElementsAre(5), ElementsAre(6, 7)));
  EXPECT_THAT(some.limits.allowed_cpus, ElementsAre(1, 5, 6, 7));
}

TEST(SelectCores, KeepsOnlyTheWarningsThatStillHold) {
  Topology topology = big_little();
  topology.warnings = {{"quota", "3 of 6"}, {"smt", "5,7"}, {"governor", "slow"}};
  const auto tags = [&](const std::string& selection) {
    std::vector<std::string> result;
    for (const Warning& warning : select_cores(topology, selection).warnings) {
      result.push_back(warning.tag);
    }
    return result;
  };
  EXPECT_THAT(tags("4-7"), ElementsAre("governor", "smt"));
  EXPECT_THAT(tags("0-1,4,6"), ElementsAre("governor", "quota"));
  EXPECT_THAT(tags("4-5"), ElementsAre("governor", "smt"));
  EXPECT_THAT(tags("0,4"), ElementsAre("governor"));
}

TEST(SelectCores, RefusesCpusThatAreNotThere) {
  EXPECT_THAT(refusal([] { select_cores(big_little(), "0-2"); }),
              AllOf(HasSubstr("[cores] CPUs 0-2 are asked for, 0-1,4-7 may be used"),
                    HasSubstr("2 is not")));
  EXPECT_THAT(refusal([] { select_cores(big_little(), "2-3"); }),
              HasSubstr("2-3 are not among them"));
}

TEST(SelectCores, RefusesWhatIsNoSelection) {
  for (const char* text : {"", "medium", "Big"}) {
    EXPECT_THAT(refusal([text] { select_cores(big_little(), text); }),
                HasSubstr("all, big, little or CPU numbers"))
        << text;
  }
  for (const char* text : {"0,", "0;1", "big,0"}) {
    EXPECT_THAT(refusal([text] { select_cores(big_little(), text); }), HasSubstr("no CPU number"))
        << text;
  }
}

}  // namespace
}  // namespace millrace
