#include "framework/topology/sensors.hpp"

#include <gmock/gmock.h>

#include "tests/framework/topology/fixture.hpp"

namespace millrace {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Sensors : public ::testing::Test {
 protected:
  void zone(const std::string& folder, const std::string& name, const std::string& energy_uj) {
    const std::string path = "sys/class/powercap/" + folder + "/";
    tree_.write(path + "name", name + "\n");
    tree_.write(path + "max_energy_range_uj", "1000000\n");
    if (!energy_uj.empty()) tree_.write(path + "energy_uj", energy_uj + "\n");
  }
  void hwmon(const std::string& file, const std::string& content) {
    tree_.write("sys/class/hwmon/" + file, content + "\n");
  }
  std::vector<std::string> energy() const {
    std::vector<std::string> files;
    for (const EnergySensor& sensor : energy_sensors(tree_.root()))
      files.push_back(sensor.file.lexically_relative("sys/class").string());
    return files;
  }
  std::optional<double> hottest() const { return hottest_celsius(tree_.root()); }

  FileTree tree_;
};

TEST_F(Sensors, AMachineWithoutAny) {
  EXPECT_THAT(energy(), IsEmpty());
  EXPECT_FALSE(hottest());
}

TEST_F(Sensors, PackagesAndMemoryCountAndTheirPartsDoNot) {
  zone("intel-rapl:0", "package-0", "123");
  zone("intel-rapl:0:0", "core", "100");
  zone("intel-rapl:0:1", "dram", "20");
  zone("intel-rapl:1", "package-1", "5");
  zone("intel-rapl-mmio:0", "package-0", "123");
  hwmon("hwmon0/power1_input", "7");
  EXPECT_THAT(energy(),
              ElementsAre("powercap/intel-rapl:0/energy_uj", "powercap/intel-rapl:0:1/energy_uj",
                          "powercap/intel-rapl:1/energy_uj"));
  const EnergySensor sensor = energy_sensors(tree_.root()).front();
  EXPECT_TRUE(sensor.counts);
  EXPECT_EQ(sensor.range_uj, 1e6);
  EXPECT_EQ(read_sensor(sensor, tree_.root()), 123);
}

TEST_F(Sensors, ThePlatformIsAll) {
  zone("intel-rapl:0", "package-0", "123");
  zone("intel-rapl:1", "psys", "500");
  EXPECT_THAT(energy(), ElementsAre("powercap/intel-rapl:1/energy_uj"));
}

TEST_F(Sensors, WhatCannotBeReadIsNone) {
  zone("intel-rapl:0", "package-0", "");
  hwmon("hwmon1/energy1_input", "88");
  hwmon("hwmon1/energy2_input", "9");
  hwmon("hwmon2/power1_input", "7");
  EXPECT_THAT(energy(), ElementsAre("hwmon/hwmon1/energy1_input", "hwmon/hwmon1/energy2_input"));
}

TEST_F(Sensors, PowerIsTheLastResort) {
  hwmon("hwmon0/power1_average", "4000000");
  EXPECT_THAT(energy(), ElementsAre("hwmon/hwmon0/power1_average"));
  hwmon("hwmon1/power1_input", "5000000");
  hwmon("hwmon1/power2_input", "1000000");
  EXPECT_THAT(energy(), ElementsAre("hwmon/hwmon1/power1_input", "hwmon/hwmon1/power2_input"));
  EXPECT_FALSE(energy_sensors(tree_.root()).front().counts);
  hwmon("hwmon1/power2_label", "VDD_IN");
  EXPECT_THAT(energy(), ElementsAre("hwmon/hwmon1/power2_input")) << "the rest runs through it";
}

TEST_F(Sensors, TheHottestCounts) {
  tree_.write("sys/class/thermal/thermal_zone0/temp", "41500\n");
  tree_.write("sys/class/thermal/thermal_zone1/temp", "-274000\n");
  tree_.write("sys/class/thermal/cooling_device0/temp", "90000\n");
  EXPECT_EQ(hottest(), 41.5);
  hwmon("hwmon3/temp2_input", "63000");
  hwmon("hwmon3/temp3_input", "255000");
  hwmon("hwmon3/temp2_crit", "100000");
  EXPECT_EQ(hottest(), 63);
}

}  // namespace
}  // namespace millrace
