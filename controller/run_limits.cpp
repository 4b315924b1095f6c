#include "controller/run_limits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "millrace/errors.hpp"
#include "millrace/units.hpp"

namespace millrace {

void RunLimits::require_sensors(const Settings& settings) {
  if (settings.energy_joules && energy_sensors(settings.root).empty())
    throw ConfigError("energy",
                      "--energy-budget needs a sensor, and this machine shows none that can be "
                      "read (RAPL in /sys/class/powercap, where root alone may read; energy or "
                      "power in /sys/class/hwmon): train as root, or leave it out");
  if (settings.max_celsius && !hottest_celsius(settings.root))
    throw ConfigError("temperature",
                      "--max-temp needs a sensor, and this machine shows none (/sys/class/thermal, "
                      "/sys/class/hwmon): leave it out");
}

RunLimits::RunLimits(Settings settings, double used_joules, std::int64_t now_ns)
    : settings_(std::move(settings)), last_ns_(now_ns), used_joules_(used_joules) {
  require_sensors(settings_);
  if (!settings_.energy_joules) return;
  sensors_ = energy_sensors(settings_.root);
  for (const EnergySensor& sensor : sensors_) last_.push_back(read_sensor(sensor, settings_.root));
  look_at_energy(now_ns);
}

void RunLimits::look(std::int64_t now_ns) {
  if (now_ns < next_ns_) return;
  next_ns_ = now_ns + settings_.interval_ns;
  if (settings_.energy_joules) look_at_energy(now_ns);
  if (settings_.max_celsius) look_at_heat();
}

double RunLimits::joules_since_last(std::size_t sensor, double value, std::int64_t now_ns) const {
  if (!sensors_[sensor].counts)
    return std::max(0.0, value) / 1e6 * static_cast<double>(now_ns - last_ns_) / 1e9;
  const double before = last_[sensor].value_or(value);
  if (value >= before) return (value - before) / 1e6;
  return std::max(0.0, sensors_[sensor].range_uj - before + value) / 1e6;  // it began anew
}

void RunLimits::look_at_energy(std::int64_t now_ns) {
  for (std::size_t i = 0; i < sensors_.size(); ++i) {
    const auto value = read_sensor(sensors_[i], settings_.root);
    if (!value) continue;
    used_joules_ += joules_since_last(i, *value, now_ns);
    last_[i] = value;
  }
  last_ns_ = now_ns;
  if (reached_.empty() && used_joules_ >= *settings_.energy_joules)
    reached_ = fmt::format("the energy budget of {} is used up ({})",
                           format_energy(*settings_.energy_joules), format_energy(used_joules_));
}

void RunLimits::look_at_heat() {
  const auto celsius = hottest_celsius(settings_.root);
  if (reached_.empty() && celsius && *celsius >= *settings_.max_celsius)
    reached_ = fmt::format("the machine has {:.1f} degrees Celsius, {:.1f} are allowed", *celsius,
                           *settings_.max_celsius);
}

}  // namespace millrace
