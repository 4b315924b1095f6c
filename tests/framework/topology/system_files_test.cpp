#include "framework/topology/system_files.hpp"

#include <gtest/gtest.h>

#include "tests/framework/topology/fixture.hpp"

namespace millrace {
namespace {

class Files : public ::testing::Test {
 protected:
  void cpu(int number, const std::string& file, const std::string& content) {
    tree_.write("sys/devices/system/cpu/cpu" + std::to_string(number) + "/" + file, content + "\n");
  }

  FileTree tree_;
  SystemFiles files_{tree_.root()};
};

TEST_F(Files, OfAnEmptySystemSayNothing) {
  EXPECT_FALSE(files_.memory_total_bytes());
  EXPECT_FALSE(files_.memory_available_bytes());
  EXPECT_FALSE(files_.cpu_capacity(0));
  EXPECT_FALSE(files_.core_model(0));
  EXPECT_FALSE(files_.frequency_governor(0));
  EXPECT_FALSE(files_.frequency_driver(0));
  EXPECT_FALSE(files_.device_tree_model());
}

TEST_F(Files, TellMemory) {
  tree_.write("proc/meminfo",
              "MemTotal:       24684084 kB\nMemFree: 1 kB\nMemAvailable: 2048 kB\n");
  EXPECT_EQ(files_.memory_total_bytes(), 24684084LL * 1024);
  EXPECT_EQ(files_.memory_available_bytes(), 2048 * 1024);
}

TEST_F(Files, WithoutMemAvailableSayNothingOfIt) {
  tree_.write("proc/meminfo", "MemTotal: 1024 kB\nMemAvailableX: 5 kB\nMemAvailable: many kB\n");
  EXPECT_EQ(files_.memory_total_bytes(), 1024 * 1024);
  EXPECT_FALSE(files_.memory_available_bytes());
}

TEST_F(Files, TellCapacities) {
  cpu(0, "cpu_capacity", "397");
  cpu(1, "cpu_capacity", "0");
  cpu(2, "cpu_capacity", "fast");
  EXPECT_EQ(files_.cpu_capacity(0), 397);
  EXPECT_FALSE(files_.cpu_capacity(1));
  EXPECT_FALSE(files_.cpu_capacity(2));
}

TEST_F(Files, TellCoreModels) {
  const char* const midr = "regs/identification/midr_el1";
  cpu(0, midr, "0x00000000414fd0b1");
  cpu(1, midr, "0x00000000ffffffff");
  cpu(2, midr, "414fd0b1");
  cpu(3, midr, "0xnumber");
  EXPECT_EQ(files_.core_model(0), "Cortex-A76");
  for (const int other : {1, 2, 3}) EXPECT_FALSE(files_.core_model(other)) << other;
}

TEST_F(Files, TellGovernors) {
  cpu(0, "cpufreq/scaling_governor", "schedutil");
  cpu(0, "cpufreq/scaling_driver", "cpufreq-dt");
  EXPECT_EQ(files_.frequency_governor(0), "schedutil");
  EXPECT_EQ(files_.frequency_driver(0), "cpufreq-dt");
}

TEST_F(Files, TellTheDeviceTreesModelWithoutItsTerminator) {
  tree_.write("proc/device-tree/model", std::string("Raspberry Pi 5 Model B Rev 1.0\0", 31));
  EXPECT_EQ(files_.device_tree_model(), "Raspberry Pi 5 Model B Rev 1.0");
}

TEST_F(Files, ReadNumbersStrictly) {
  tree_.write("a", "12\n");
  tree_.write("b", "12 13\n");
  tree_.write("c", "");
  EXPECT_EQ(files_.number("a"), 12);
  EXPECT_FALSE(files_.number("b"));
  EXPECT_FALSE(files_.number("c"));
  EXPECT_FALSE(files_.number("sys"));
}

}  // namespace
}  // namespace millrace
