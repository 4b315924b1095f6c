#pragma once
// Folders that a data set is generated into.

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>

namespace millrace {

struct GeneratedSet {
  std::string kind;      ///< "scenes": the manifest is kind.txt and begins with "millrace kind"
  std::string manifest;  ///< a line that names the settings; another one is another set
  std::function<bool(const std::filesystem::path& folder)> is_whole;
  std::function<void(const std::filesystem::path& folder)> write;  ///< into an empty folder
};

/// Complete or absent: made beside the folder and renamed. Returns false where the whole set was
/// there already. Throws ConfigError (tag "data") where the folder holds anything else,
/// ResourceError where it cannot be written.
bool make_generated(const std::string& folder, const GeneratedSet& set);

/// One of its files. Throws ResourceError (tag "data").
void write_generated(const std::filesystem::path& path, const void* data, std::size_t size);

}  // namespace millrace
