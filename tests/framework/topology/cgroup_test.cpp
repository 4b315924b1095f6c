#include "framework/topology/cgroup.hpp"

#include <gtest/gtest.h>

#include "tests/framework/topology/fixture.hpp"

namespace millrace {
namespace {

constexpr std::int64_t kGiB = std::int64_t{1} << 30;

const char* const kMountsV2 =
    "24 30 0:22 / /proc rw - proc proc rw\n"
    "35 25 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";

const char* const kMountsV1 =
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

class Cgroup : public ::testing::Test {
 protected:
  void processes(const std::string& mounts, const std::string& groups) {
    tree_.write("proc/self/mountinfo", mounts);
    tree_.write("proc/self/cgroup", groups);
  }
  void group(const std::string& file, const std::string& content) {
    tree_.write("sys/fs/cgroup/" + file, content + "\n");
  }
  CgroupLimits read() const { return read_cgroup_limits(tree_.root()); }

  FileTree tree_;
};

TEST_F(Cgroup, WithoutAnyFileSetsNoLimit) {
  const CgroupLimits limits = read();
  EXPECT_FALSE(limits.cpu_quota || limits.memory_limit_bytes || limits.memory_left_bytes);
}

// A container with 1.5 CPUs and 2 GiB, as container engines set it up under version 2.
TEST_F(Cgroup, Version2OfAContainer) {
  processes(kMountsV2, "0::/\n");
  group("cpu.max", "150000 100000");
  group("memory.max", std::to_string(2 * kGiB));
  group("memory.current", std::to_string(kGiB));
  group("memory.stat", "anon 5\ninactive_file 268435456\nactive_file 7");
  const CgroupLimits limits = read();
  EXPECT_DOUBLE_EQ(limits.cpu_quota.value(), 1.5);
  EXPECT_EQ(limits.memory_limit_bytes, 2 * kGiB);
  EXPECT_EQ(limits.memory_left_bytes, 2 * kGiB - (kGiB - kGiB / 4 - 7)) << "no file cache counts";
}

TEST_F(Cgroup, Version2IsSlowedDownAboveMemoryHigh) {
  processes(kMountsV2, "0::/\n");
  group("memory.max", "max");
  group("memory.high", std::to_string(kGiB));
  group("memory.current", "5");
  EXPECT_EQ(read().memory_limit_bytes, kGiB);
  EXPECT_EQ(read().memory_left_bytes, kGiB - 5);
}

TEST_F(Cgroup, Version2TakesTheTightestOfThePath) {
  processes(kMountsV2, "0::/user.slice/job/step\n");
  group("user.slice/cpu.max", "400000 100000");
  group("user.slice/job/cpu.max", "50000 50000");
  group("user.slice/job/step/cpu.max", "max 100000");
  group("user.slice/memory.max", std::to_string(4 * kGiB));
  group("user.slice/memory.current", std::to_string(3 * kGiB));
  group("user.slice/job/memory.max", std::to_string(2 * kGiB));
  group("user.slice/job/memory.current", "0");
  group("user.slice/job/step/memory.max", "max");
  group("other/cpu.max", "1000 100000");
  const CgroupLimits limits = read();
  EXPECT_DOUBLE_EQ(limits.cpu_quota.value(), 1.0);
  EXPECT_EQ(limits.memory_limit_bytes, 2 * kGiB);
  EXPECT_EQ(limits.memory_left_bytes, kGiB) << "a group further up has less left than the limit";
}

TEST_F(Cgroup, Version1OfAContainer) {
  processes(kMountsV1, "4:memory:/box\n2:cpu,cpuacct:/box\n1:name=systemd:/\n");
  group("cpu,cpuacct/box/cpu.cfs_quota_us", "150000");
  group("cpu,cpuacct/box/cpu.cfs_period_us", "100000");
  group("memory/box/memory.limit_in_bytes", std::to_string(kGiB));
  group("memory/box/memory.usage_in_bytes", std::to_string(kGiB / 2));
  group("memory/box/memory.stat", "inactive_file 1\ntotal_inactive_file 134217728");
  const CgroupLimits limits = read();
  EXPECT_DOUBLE_EQ(limits.cpu_quota.value(), 1.5);
  EXPECT_EQ(limits.memory_limit_bytes, kGiB);
  EXPECT_EQ(limits.memory_left_bytes, kGiB - (kGiB / 2 - kGiB / 8));
}

TEST_F(Cgroup, Version1WithoutLimits) {
  processes(kMountsV1, "4:memory:/box\n2:cpu,cpuacct:/box\n");
  group("cpu,cpuacct/box/cpu.cfs_quota_us", "-1");
  group("cpu,cpuacct/box/cpu.cfs_period_us", "100000");
  group("memory/box/memory.limit_in_bytes", "9223372036854771712");
  group("memory/memory.limit_in_bytes", "9223372036854771712");
  const CgroupLimits limits = read();
  EXPECT_FALSE(limits.cpu_quota || limits.memory_limit_bytes || limits.memory_left_bytes);
}

TEST_F(Cgroup, Version1TakesTheTightestOfThePath) {
  processes(kMountsV1, "4:memory:/a/b\n2:cpu,cpuacct:/a/b\n");
  group("cpu,cpuacct/a/cpu.cfs_quota_us", "20000");
  group("cpu,cpuacct/a/cpu.cfs_period_us", "100000");
  group("cpu,cpuacct/a/b/cpu.cfs_quota_us", "300000");
  group("cpu,cpuacct/a/b/cpu.cfs_period_us", "100000");
  group("memory/memory.limit_in_bytes", std::to_string(kGiB));
  group("memory/a/b/memory.limit_in_bytes", std::to_string(2 * kGiB));
  const CgroupLimits limits = read();
  EXPECT_DOUBLE_EQ(limits.cpu_quota.value(), 0.2);
  EXPECT_EQ(limits.memory_limit_bytes, kGiB);
}

// Version 1 without a namespace of its own: the mount shows the container's group as its root,
// while the process's group is told from the host's point of view.
TEST_F(Cgroup, MountOfASubtree) {
  processes("35 31 0:32 /docker/1f /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
            "4:memory:/docker/1f/worker\n");
  group("memory/worker/memory.limit_in_bytes", std::to_string(kGiB));
  group("memory/memory.limit_in_bytes", std::to_string(3 * kGiB));
  EXPECT_EQ(read().memory_limit_bytes, kGiB);
}

TEST_F(Cgroup, GroupOutsideTheMountLeavesWhatIsMounted) {
  processes("35 31 0:32 /docker/1f /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
            "4:memory:/elsewhere\n");
  group("memory/memory.limit_in_bytes", std::to_string(3 * kGiB));
  EXPECT_EQ(read().memory_limit_bytes, 3 * kGiB);
  processes(kMountsV2, "0::/../sibling\n");
  group("memory.max", std::to_string(kGiB));
  EXPECT_EQ(read().memory_limit_bytes, kGiB);
}

// systemd's hybrid: version 1 holds the controllers, version 2 is mounted beside them.
TEST_F(Cgroup, BothVersionsAtOnce) {
  processes(
      std::string(kMountsV1) + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
      "4:memory:/box\n2:cpu,cpuacct:/\n0::/box\n");
  group("unified/box/cpu.max", "70000 100000");
  group("memory/box/memory.limit_in_bytes", std::to_string(kGiB));
  const CgroupLimits limits = read();
  EXPECT_DOUBLE_EQ(limits.cpu_quota.value(), 0.7);
  EXPECT_EQ(limits.memory_limit_bytes, kGiB);
}

TEST_F(Cgroup, UsageAboveTheLimitLeavesNothing) {
  processes(kMountsV2, "0::/\n");
  group("memory.max", std::to_string(kGiB));
  group("memory.current", std::to_string(2 * kGiB));
  EXPECT_EQ(read().memory_left_bytes, 0);
}

TEST_F(Cgroup, CacheAboveTheUsageLeavesTheWholeLimit) {
  processes(kMountsV2, "0::/\n");
  group("memory.max", std::to_string(kGiB));
  group("memory.current", "1000");
  group("memory.stat", "inactive_file 2000");
  EXPECT_EQ(read().memory_left_bytes, kGiB);
}

class BrokenCgroupFile : public Cgroup, public ::testing::WithParamInterface<const char*> {};

TEST_P(BrokenCgroupFile, SetsNoLimit) {
  processes(kMountsV2, "0::/\n");
  group("cpu.max", GetParam());
  group("memory.max", GetParam());
  const CgroupLimits limits = read();
  EXPECT_FALSE(limits.cpu_quota);
  EXPECT_FALSE(limits.memory_limit_bytes);
}

INSTANTIATE_TEST_SUITE_P(All, BrokenCgroupFile,
                         ::testing::Values("", "max", "-1 100000", "100000 0", "0 100000",
                                           "many few", "99999999999999999999999"));

TEST_F(Cgroup, BrokenTablesSetNoLimit) {
  group("cpu.max", "100000 100000");
  for (const char* mounts :
       {"", "35 25 0:30", "35 25 0:30 / /sys/fs/cgroup rw - cgroup2", "- - -"}) {
    processes(mounts, "0::/\n");
    EXPECT_FALSE(read().cpu_quota) << mounts;
  }
  for (const char* groups : {"", "0", "0:", "nonsense\n"}) {
    processes(kMountsV2, groups);
    EXPECT_FALSE(read().cpu_quota) << groups;
  }
}

}  // namespace
}  // namespace millrace
