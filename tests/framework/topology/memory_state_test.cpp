#include "framework/topology/memory_state.hpp"

#include <gtest/gtest.h>

#include "tests/framework/topology/fixture.hpp"

namespace millrace {
namespace {

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

class MemoryStateTest : public ::testing::Test {
 protected:
  void machine(std::int64_t total_kib, std::int64_t available_kib) {
    tree_.write("proc/meminfo", "MemTotal: " + std::to_string(total_kib) + " kB\nMemAvailable: " +
                                    std::to_string(available_kib) + " kB\n");
  }
  void mounted(const std::string& mount, const std::string& group) {
    tree_.write("proc/self/mountinfo", mount);
    tree_.write("proc/self/cgroup", group);
  }
  void group(const std::string& file, const std::string& content) {
    tree_.write("sys/fs/cgroup/" + file, content + "\n");
  }
  std::optional<MemoryState> read() const { return read_memory_state(tree_.root()); }

  FileTree tree_;
};

TEST_F(MemoryStateTest, NothingIsKnownOfNothing) { EXPECT_FALSE(read()); }

TEST_F(MemoryStateTest, OfAMachineWithoutGroups) {
  machine(8192, 1024);
  tree_.write("proc/pressure/memory",
              "some avg10=4.00 avg60=1.00 avg300=0.00 total=9\n"
              "full avg10=2.50 avg60=0.50 avg300=0.00 total=5\n");
  const MemoryState state = read().value();
  EXPECT_EQ(state.limit_bytes, 8 * kMiB);
  EXPECT_EQ(state.left_bytes, kMiB);
  EXPECT_DOUBLE_EQ(state.left_share(), 0.125);
  EXPECT_EQ(state.hits, 0);
  EXPECT_DOUBLE_EQ(state.stalled_percent, 2.5);
}

TEST_F(MemoryStateTest, OfAGroupOfVersion2) {
  machine(65536, 32768);
  mounted("35 25 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/job/step\n");
  group("job/memory.max", std::to_string(10 * kMiB));
  group("job/memory.high", std::to_string(8 * kMiB));
  group("job/memory.current", std::to_string(9 * kMiB));
  group("job/memory.stat", "anon 5\ninactive_file 1048576\nactive_file 1048576");
  group("job/memory.events", "low 7\nhigh 3\nmax 2\noom 1\noom_kill 1");
  group("job/memory.pressure", "some avg10=9.0\nfull avg10=12.00 avg60=0.50");
  group("job/step/memory.max", "max");
  const MemoryState state = read().value();
  EXPECT_EQ(state.limit_bytes, 8 * kMiB) << "from memory.high on processes are slowed down";
  EXPECT_EQ(state.left_bytes, kMiB);
  EXPECT_EQ(state.hits, 7);
  EXPECT_DOUBLE_EQ(state.stalled_percent, 12);
}

TEST_F(MemoryStateTest, OfAGroupOfVersion1) {
  mounted(
      "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
      "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
      "4:memory:/job\n");
  group("memory/job/memory.limit_in_bytes", std::to_string(10 * kMiB));
  group("memory/job/memory.usage_in_bytes", std::to_string(10 * kMiB));
  group("memory/job/memory.stat", "total_inactive_file 1048576\ntotal_active_file 2097152");
  group("memory/job/memory.failcnt", "11");
  group("memory/memory.limit_in_bytes", "9223372036854771712");
  const MemoryState state = read().value();
  EXPECT_EQ(state.limit_bytes, 10 * kMiB);
  EXPECT_EQ(state.left_bytes, 3 * kMiB);
  EXPECT_EQ(state.hits, 11);
}

TEST_F(MemoryStateTest, TheTightestCounts) {
  machine(10240, 1024);
  mounted("35 25 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/\n");
  group("memory.max", std::to_string(4 * kMiB));
  group("memory.current", std::to_string(kMiB));
  EXPECT_EQ(read()->limit_bytes, 10 * kMiB) << "of the machine a tenth is left";
}

}  // namespace
}  // namespace millrace
