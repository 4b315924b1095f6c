#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "millrace/topology.hpp"

namespace millrace {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Topology small() {
  Topology topology;
  topology.source = "machine";
  topology.machine = "Testboard";
  topology.kinds = {{"big", {2, 3}, 1.0, "Cortex-A76"}, {"little", {0, 1}, 0.387, ""}};
  topology.cores = {{0}, {1}, {2}, {3}};
  topology.memory_bytes = std::int64_t{8} << 30;
  return topology;
}

TEST(Describe, DrawsTheWholeMachine) {
  Topology topology = small();
  topology.caches = {
      {1, "data", 32 << 10, {0}}, {1, "data", 32 << 10, {1}}, {2, "unified", 1 << 20, {0, 1}}};
  topology.memory_available_bytes = std::int64_t{2} << 30;
  topology.numa_nodes = {{0, 1, {0, 1}}, {1, 1, {2, 3}}};
  topology.limits.cpu_quota = 1.5;
  topology.limits.memory_limit_bytes = std::int64_t{4} << 30;
  topology.gpus = {{"pocl", "opencl", 1 << 30, true}};
  topology.warnings = {{"quota", "too little"}};
  EXPECT_EQ(describe(topology),
            "Testboard (machine): 4 cores, 4 CPUs\n"
            "  big        2 x  CPUs 2-3          speed 1.00  Cortex-A76\n"
            "  little     2 x  CPUs 0-1          speed 0.39\n"
            "  caches    L1 data 2 x 32.0 KiB, L2 1 x 1.00 MiB\n"
            "  memory    8.00 GiB, 2.00 GiB available, 2 NUMA nodes\n"
            "  limits    1.5 CPUs' worth of time, 4.00 GiB of memory\n"
            "  GPU       pocl (opencl, 1.00 GiB, on the CPU: for tests only)\n"
            "  warning [quota] too little\n");
}

TEST(Describe, LeavesOutWhatIsNotThere) {
  const std::string text = describe(small());
  for (const char* absent :
       {"caches", "limits", "GPU", "warning", "available", "NUMA", "found in"}) {
    EXPECT_THAT(text, Not(HasSubstr(absent)));
  }
}

TEST(Describe, SaysWhatIsUnknown) {
  Topology topology = small();
  topology.machine = "";
  topology.memory_bytes = 0;
  topology.kinds = {{"core", {0}, 1.0, ""}};
  topology.cores = {{0}};
  EXPECT_THAT(describe(topology), HasSubstr("Unknown machine (machine): 1 core, 1 CPU\n"));
  EXPECT_THAT(describe(topology), HasSubstr("memory    unknown"));
}

TEST(Describe, ShowsABoardsFacts) {
  Topology topology = small();
  topology.board = BoardFacts{"SoC",
                              {"Board A", "Board B"},
                              {{"Cortex-A76", {2, 3}, 2400, {{2400, 1.0, 0.998}}, ""},
                               {"Cortex-A55", {0, 1}, 1800, {}, ""}},
                              "",
                              "",
                              {}};
  const std::string text = describe(topology);
  EXPECT_THAT(text, HasSubstr("found in  Board A, Board B\n"));
  EXPECT_THAT(
      text, HasSubstr("CPUs 2-3  Cortex-A76, up to 2400 MHz, 1.00 W a core at 2400 MHz and 1 V\n"));
  EXPECT_THAT(text, HasSubstr("CPUs 0-1  Cortex-A55, up to 1800 MHz\n"));
}

}  // namespace
}  // namespace millrace
