#pragma once
// Facts that hwloc does not tell, from /proc and /sys. The root is a seam: tests make a tree.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace millrace {

/// Every function gives nothing where the file is absent or is not what the kernel writes.
class SystemFiles {
 public:
  explicit SystemFiles(std::filesystem::path root = "/") : root_(std::move(root)) {}

  std::optional<std::int64_t> memory_total_bytes() const;
  std::optional<std::int64_t> memory_available_bytes() const;
  /// Of the kernel's scheduler: 1024 for the fastest core.
  std::optional<int> cpu_capacity(int cpu) const;
  /// "Cortex-A76", from the identification register of arm64.
  std::optional<std::string> core_model(int cpu) const;
  std::optional<std::string> frequency_governor(int cpu) const;
  std::optional<std::string> frequency_driver(int cpu) const;
  /// "Raspberry Pi 5 Model B Rev 1.0".
  std::optional<std::string> device_tree_model() const;

  /// A whole small file below the root, without its last line feed.
  std::optional<std::string> text(const std::filesystem::path& path) const;
  /// A file with one whole number.
  std::optional<std::int64_t> number(const std::filesystem::path& path) const;
  /// Of a file with lines "key number"; 0 where it is not there.
  std::int64_t statistic(const std::filesystem::path& path, const std::string& key) const;

 private:
  std::optional<std::int64_t> memory_info(const std::string& key) const;

  std::filesystem::path root_;
};

}  // namespace millrace
