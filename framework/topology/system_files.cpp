#include "framework/topology/system_files.hpp"

#include <fmt/format.h>

#include <charconv>
#include <fstream>
#include <sstream>

#include "framework/topology/core_models.hpp"

namespace millrace {
namespace {

std::filesystem::path cpu_folder(int cpu) {
  return fmt::format("sys/devices/system/cpu/cpu{}", cpu);
}

template <typename Number>
std::optional<Number> parse(std::string_view text, int base = 10) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<std::string> SystemFiles::text(const std::filesystem::path& path) const {
  std::ifstream stream(root_ / path, std::ios::binary);
  std::ostringstream content;
  if (!stream || !(content << stream.rdbuf())) return std::nullopt;
  std::string result = content.str();
  if (result.ends_with('\n')) result.pop_back();
  return result;
}

std::optional<std::int64_t> SystemFiles::number(const std::filesystem::path& path) const {
  const auto content = text(path);
  return content ? parse<std::int64_t>(*content) : std::nullopt;
}

std::int64_t SystemFiles::statistic(const std::filesystem::path& path,
                                    const std::string& key) const {
  std::istringstream stream(text(path).value_or(""));
  std::string name;
  for (std::int64_t value = 0; stream >> name >> value;)
    if (name == key) return value;
  return 0;
}

// Lines such as "MemAvailable:   23620220 kB".
std::optional<std::int64_t> SystemFiles::memory_info(const std::string& key) const {
  std::istringstream stream(text("proc/meminfo").value_or(""));
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line);
    std::string name, unit;
    std::int64_t kibibytes = 0;
    if (words >> name >> kibibytes >> unit && name == key + ":") return kibibytes * 1024;
  }
  return std::nullopt;
}

std::optional<std::int64_t> SystemFiles::memory_total_bytes() const {
  return memory_info("MemTotal");
}

std::optional<std::int64_t> SystemFiles::memory_available_bytes() const {
  return memory_info("MemAvailable");
}

std::optional<int> SystemFiles::cpu_capacity(int cpu) const {
  const auto capacity = number(cpu_folder(cpu) / "cpu_capacity");
  if (!capacity || *capacity <= 0) return std::nullopt;
  return static_cast<int>(*capacity);
}

// "0x00000000414fd0b1": implementer in bits 31-24, part in bits 15-4.
std::optional<std::string> SystemFiles::core_model(int cpu) const {
  const auto content = text(cpu_folder(cpu) / "regs/identification/midr_el1");
  if (!content || !content->starts_with("0x")) return std::nullopt;
  const auto midr = parse<std::uint64_t>(std::string_view(*content).substr(2), 16);
  if (!midr) return std::nullopt;
  const std::string model = arm_core_model((*midr >> 24) & 0xff, (*midr >> 4) & 0xfff);
  return model.empty() ? std::nullopt : std::optional(model);
}

std::optional<std::string> SystemFiles::frequency_governor(int cpu) const {
  return text(cpu_folder(cpu) / "cpufreq/scaling_governor");
}

std::optional<std::string> SystemFiles::frequency_driver(int cpu) const {
  return text(cpu_folder(cpu) / "cpufreq/scaling_driver");
}

std::optional<std::string> SystemFiles::device_tree_model() const {
  auto model = text("proc/device-tree/model");
  while (model && model->ends_with('\0')) model->pop_back();
  return model;
}

}  // namespace millrace
