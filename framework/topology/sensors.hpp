#pragma once
// What the machine says of its energy and heat, through /sys.

#include <filesystem>
#include <optional>
#include <vector>

namespace millrace {

struct EnergySensor {
  std::filesystem::path file;  ///< below the root
  bool counts = true;          ///< energy so far, in uJ; else the power now, in uW
  double range_uj = 0;         ///< of a counter that begins anew: after so much; 0: not known
};

/// Those that can be read, of the best source there is and that count nothing twice: the platform's
/// or else the packages' and memory's RAPL counters (class/powercap), energy counters (hwmon),
/// power (hwmon; where one is of the whole board's input, that alone).
std::vector<EnergySensor> energy_sensors(const std::filesystem::path& root = "/");

/// In uJ or uW; empty where it cannot be read any more.
std::optional<double> read_sensor(const EnergySensor& sensor, const std::filesystem::path& root);

/// Of the hottest sensor (class/thermal, class/hwmon), in degrees Celsius; empty where there is
/// none.
std::optional<double> hottest_celsius(const std::filesystem::path& root = "/");

}  // namespace millrace
