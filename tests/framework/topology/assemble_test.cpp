#include "framework/topology/assemble.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/framework/topology/fixture.hpp"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::int64_t kGiB = std::int64_t{1} << 30;

// Four cores; hwloc tells no kinds.
RawMachine four_cores() {
  RawMachine machine;
  machine.this_system = true;
  machine.product = "Product";
  machine.allowed_cpus = {0, 1, 2, 3};
  machine.cores = {{0}, {1}, {2}, {3}};
  machine.memory_bytes = 8 * kGiB;
  machine.numa_nodes = {{0, 8 * kGiB, {0, 1, 2, 3}}};
  return machine;
}

class Assemble : public ::testing::Test {
 protected:
  void capacity(int cpu, int value) {
    tree_.write("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cpu_capacity",
                std::to_string(value) + "\n");
  }
  void cgroup(const std::string& file, const std::string& content) {
    tree_.write("proc/self/mountinfo", "35 25 0:30 / /cg rw - cgroup2 cgroup2 rw\n");
    tree_.write("proc/self/cgroup", "0::/\n");
    tree_.write("cg/" + file, content);
  }
  void meminfo(std::int64_t total_kib, std::int64_t available_kib) {
    tree_.write("proc/meminfo", "MemTotal: " + std::to_string(total_kib) + " kB\nMemAvailable: " +
                                    std::to_string(available_kib) + " kB\n");
  }
  Topology assemble(const RawMachine& machine) const {
    return assemble_topology(machine, tree_.root());
  }
  static std::vector<std::string> tags(const Topology& topology) {
    std::vector<std::string> result;
    for (const Warning& warning : topology.warnings) result.push_back(warning.tag);
    return result;
  }

  FileTree tree_;
};

TEST_F(Assemble, TakesWhatHwlocSaysWhereTheSystemIsSilent) {
  const Topology topology = assemble(four_cores());
  EXPECT_EQ(topology.machine, "Product");
  EXPECT_EQ(topology.kinds, (std::vector<CoreKind>{{"core", {0, 1, 2, 3}, 1.0, ""}}));
  EXPECT_THAT(topology.cores,
              ElementsAre(ElementsAre(0), ElementsAre(1), ElementsAre(2), ElementsAre(3)));
  EXPECT_EQ(topology.memory_bytes, 8 * kGiB);
  EXPECT_EQ(topology.memory_available_bytes, 8 * kGiB);
  EXPECT_EQ(topology.limits, (Limits{{0, 1, 2, 3}, std::nullopt, std::nullopt}));
  EXPECT_THAT(topology.warnings, IsEmpty());
}

TEST_F(Assemble, PrefersTheCpuModelAndTheDeviceTreeAsName) {
  RawMachine machine = four_cores();
  machine.cpu_model = "CPU model";
  EXPECT_EQ(assemble(machine).machine, "CPU model");
  tree_.write("proc/device-tree/model", "Board");
  EXPECT_EQ(assemble(machine).machine, "Board");
}

TEST_F(Assemble, KeepsAllowedCpusOnly) {
  RawMachine machine = four_cores();
  machine.cores = {{0, 2}, {1, 3}};
  machine.allowed_cpus = {1, 2, 3};
  const Topology topology = assemble(machine);
  EXPECT_THAT(topology.cores, ElementsAre(ElementsAre(2), ElementsAre(1, 3)));
  EXPECT_THAT(topology.kinds.at(0).cpus, ElementsAre(1, 2, 3));
  EXPECT_THAT(topology.limits.allowed_cpus, ElementsAre(1, 2, 3));
}

TEST_F(Assemble, RefusesAMachineWithoutAnAllowedCore) {
  RawMachine machine = four_cores();
  machine.allowed_cpus = {};
  const std::string message = refusal([&] { assemble(machine); });
  EXPECT_THAT(message, HasSubstr("[topology] no core is allowed: the machine has CPUs 0-3"));
  EXPECT_THAT(message, HasSubstr("taskset"));
}

TEST_F(Assemble, UsesTheKernelsCapacitiesWhereHwlocTellsNoKinds) {
  for (const int cpu : {0, 1}) capacity(cpu, 397);
  for (const int cpu : {2, 3}) capacity(cpu, 1024);
  const Topology topology = assemble(four_cores());
  ASSERT_THAT(topology.kinds, SizeIs(2));
  EXPECT_THAT(topology.kinds[0].cpus, ElementsAre(2, 3));
  EXPECT_DOUBLE_EQ(topology.kinds[1].relative_speed, 397.0 / 1024.0);
  EXPECT_THAT(tags(topology), ElementsAre("kinds"));
  EXPECT_THAT(topology.warnings[0].message, HasSubstr("hwloc reports 0 kinds"));
}

TEST_F(Assemble, BelievesHwlocsKindsBeforeTheKernelsCapacities) {
  for (const int cpu : {0, 1, 2}) capacity(cpu, 1024);
  capacity(3, 512);
  RawMachine machine = four_cores();
  machine.kinds = {{{0}, 0, {{"LinuxCapacity", "400"}}},
                   {{1, 2, 3}, 1, {{"LinuxCapacity", "1000"}}}};
  const Topology topology = assemble(machine);
  EXPECT_THAT(topology.kinds.at(1).cpus, ElementsAre(0));
  EXPECT_THAT(topology.warnings, IsEmpty());
}

TEST_F(Assemble, NeedsNoCapacityOfEveryCpu) {
  capacity(0, 397);
  capacity(1, 1024);
  EXPECT_THAT(assemble(four_cores()).kinds, SizeIs(1)) << "CPUs 2 and 3 have none";
}

TEST_F(Assemble, NamesModelsByTheIdentificationRegister) {
  tree_.write("sys/devices/system/cpu/cpu0/regs/identification/midr_el1", "0x00000000410fd083\n");
  EXPECT_EQ(assemble(four_cores()).kinds.at(0).model, "Cortex-A72");
}

// A container with 1.5 CPUs is not two cores.
TEST_F(Assemble, ReadsTheQuotaAndWarnsOfIt) {
  cgroup("cpu.max", "150000 100000\n");
  const Topology topology = assemble(four_cores());
  EXPECT_DOUBLE_EQ(topology.limits.cpu_quota.value(), 1.5);
  EXPECT_THAT(tags(topology), ElementsAre("quota"));
  EXPECT_THAT(topology.warnings[0].message,
              HasSubstr("1.5 CPUs' worth of time, 4 cores are allowed"));
  EXPECT_THAT(topology.warnings[0].message, HasSubstr("--cores all takes 1;"));
}

TEST_F(Assemble, DoesNotWarnOfAQuotaThatIsEnough) {
  cgroup("cpu.max", "400000 100000\n");
  EXPECT_THAT(assemble(four_cores()).warnings, IsEmpty());
}

TEST_F(Assemble, MemoryAvailableIsTheLeastOfSystemAndGroup) {
  meminfo(16 * kGiB / 1024, 10 * kGiB / 1024);
  EXPECT_EQ(assemble(four_cores()).memory_bytes, 16 * kGiB);
  EXPECT_EQ(assemble(four_cores()).memory_available_bytes, 10 * kGiB);
  cgroup("memory.max", std::to_string(4 * kGiB));
  cgroup("memory.current", std::to_string(kGiB));
  const Topology tight = assemble(four_cores());
  EXPECT_EQ(tight.limits.memory_limit_bytes, 4 * kGiB);
  EXPECT_EQ(tight.memory_available_bytes, 3 * kGiB);
  meminfo(16 * kGiB / 1024, 2 * kGiB / 1024);
  EXPECT_EQ(assemble(four_cores()).memory_available_bytes, 2 * kGiB);
}

TEST_F(Assemble, AsksTheSystemNothingAboutAnotherMachine) {
  meminfo(16 * kGiB / 1024, 10 * kGiB / 1024);
  cgroup("cpu.max", "50000 100000\n");
  for (const int cpu : {0, 1, 2, 3}) capacity(cpu, 256 * (cpu + 1));
  RawMachine machine = four_cores();
  machine.this_system = false;
  const Topology topology = assemble(machine);
  EXPECT_THAT(topology.kinds, SizeIs(1));
  EXPECT_EQ(topology.memory_bytes, 8 * kGiB);
  EXPECT_EQ(topology.memory_available_bytes, 0);
  EXPECT_FALSE(topology.limits.cpu_quota);
  EXPECT_THAT(topology.warnings, IsEmpty());
}

}  // namespace
}  // namespace millrace
