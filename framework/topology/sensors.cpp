#include "framework/topology/sensors.hpp"

#include <algorithm>
#include <string>

#include "framework/topology/system_files.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// Below `root`, by name, so that the order is always the same.
std::vector<fs::path> entries(const fs::path& root, const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator entry(root / folder, error), end; !error && entry != end;
       entry.increment(error))
    paths.push_back(folder / entry->path().filename());
  std::sort(paths.begin(), paths.end());
  return paths;
}

bool is_named(const fs::path& file, const std::string& before, const std::string& behind) {
  const std::string name = file.filename().string();
  return name.starts_with(before) && name.ends_with(behind);
}

/// "power1_label" of "power1_input".
std::string label_of(const SystemFiles& files, const fs::path& input) {
  const std::string name = input.filename().string();
  return files.text(input.parent_path() / (name.substr(0, name.find('_')) + "_label")).value_or("");
}

/// Zones are "intel-rapl:0" and, in it, "intel-rapl:0:1"; the same ones through "-mmio" as well.
std::vector<EnergySensor> rapl(const SystemFiles& files, const fs::path& root) {
  std::vector<EnergySensor> platform, parts;
  for (const fs::path& zone : entries(root, "sys/class/powercap")) {
    const std::string name = files.text(zone / "name").value_or("");
    const auto range = files.number(zone / "max_energy_range_uj");
    const EnergySensor sensor{zone / "energy_uj", true, static_cast<double>(range.value_or(0))};
    if (is_named(zone, "intel-rapl-mmio", "") || !files.number(sensor.file)) continue;
    if (name == "psys") platform.push_back(sensor);
    if (name.starts_with("package") || name == "dram") parts.push_back(sensor);
  }
  return platform.empty() ? parts : platform;
}

/// Files "`quantity`N_`suffix`" of all chips.
std::vector<EnergySensor> hwmon(const SystemFiles& files, const fs::path& root,
                                const std::string& quantity, const std::string& suffix) {
  std::vector<EnergySensor> sensors;
  for (const fs::path& chip : entries(root, "sys/class/hwmon"))
    for (const fs::path& file : entries(root, chip))
      if (is_named(file, quantity, suffix) && files.number(file))
        sensors.push_back({file, quantity == "energy", 0});
  return sensors;
}

/// The rail through which all the others get their power, on boards that have several.
bool is_input_of_board(const std::string& label) {
  return label == "VDD_IN" || label == "POM_5V_IN" || label == "VIN_SYS_5V0";
}

std::vector<EnergySensor> power(const SystemFiles& files, const fs::path& root) {
  std::vector<EnergySensor> sensors = hwmon(files, root, "power", "_input");
  if (sensors.empty()) sensors = hwmon(files, root, "power", "_average");
  for (const EnergySensor& sensor : sensors)
    if (is_input_of_board(label_of(files, sensor.file))) return {sensor};
  return sensors;
}

}  // namespace

std::vector<EnergySensor> energy_sensors(const fs::path& root) {
  const SystemFiles files(root);
  std::vector<EnergySensor> sensors = rapl(files, root);
  if (sensors.empty()) sensors = hwmon(files, root, "energy", "_input");
  return sensors.empty() ? power(files, root) : sensors;
}

std::optional<double> read_sensor(const EnergySensor& sensor, const fs::path& root) {
  const auto value = SystemFiles(root).number(sensor.file);
  return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
}

std::optional<double> hottest_celsius(const fs::path& root) {
  const SystemFiles files(root);
  std::optional<double> hottest;
  const auto take = [&](const fs::path& file) {
    constexpr std::int64_t kAbsurd = 200'000;  // thousandths: of a sensor that is not connected
    const auto value = files.number(file);
    if (!value || *value <= 0 || *value > kAbsurd) return;
    hottest = std::max(hottest.value_or(0), static_cast<double>(*value) / 1000);
  };
  for (const fs::path& zone : entries(root, "sys/class/thermal"))
    if (is_named(zone, "thermal_zone", "")) take(zone / "temp");
  for (const fs::path& chip : entries(root, "sys/class/hwmon"))
    for (const fs::path& file : entries(root, chip))
      if (is_named(file, "temp", "_input")) take(file);
  return hottest;
}

}  // namespace millrace
