#pragma once
// What ends a run before its time: energy that is used up, heat.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "framework/topology/sensors.hpp"

namespace millrace {

/// Not thread-safe.
class RunLimits {
 public:
  struct Settings {
    std::optional<double> energy_joules;  ///< of the run, over all its processes
    std::optional<double> max_celsius;    ///< of the hottest sensor
    std::filesystem::path root = "/";     ///< of /sys
    /// Between two looks: reading all sensors may take as long as a small network's step.
    std::int64_t interval_ns = 200'000'000;
  };

  /// `used_joules`: before this process. Throws ConfigError (tag "energy" or "temperature") where
  /// there is a limit and no sensor.
  RunLimits(Settings settings, double used_joules, std::int64_t now_ns);

  /// Between two steps. Power counts as it was from the last look until now.
  void look(std::int64_t now_ns);
  /// The same, however short ago the last look was.
  void look_again(std::int64_t now_ns) {
    next_ns_ = now_ns;
    look(now_ns);
  }
  /// Why the run ends; empty where it goes on.
  const std::string& reached() const { return reached_; }
  /// Of the whole run. 0 without a limit of energy.
  double used_joules() const { return used_joules_; }

  /// Throws as the constructor does.
  static void require_sensors(const Settings& settings);

 private:
  double joules_since_last(std::size_t sensor, double value, std::int64_t now_ns) const;
  void look_at_energy(std::int64_t now_ns);
  void look_at_heat();

  Settings settings_;
  std::vector<EnergySensor> sensors_;
  std::vector<std::optional<double>> last_;  // by sensor
  std::int64_t last_ns_, next_ns_ = 0;
  double used_joules_;
  std::string reached_;
};

}  // namespace millrace
