#include "framework/profile/kept_profile.hpp"

#include <fmt/format.h>

#include <system_error>

#include "framework/base/file.hpp"
#include "framework/base/hash.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"

namespace millrace {
std::filesystem::path kept_profile_path(const std::filesystem::path& folder,
                                        const std::string& identity) {
  Hash64 hash;
  hash.add(identity);
  return folder / fmt::format("{:016x}.json", hash.value());
}

std::optional<KeptProfile> find_kept_profile(const std::filesystem::path& folder,
                                             const std::string& identity) {
  const std::filesystem::path path = kept_profile_path(folder, identity);
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::nullopt;
  try {
    KeptProfile kept = kept_profile_from_json(read_file(path, "profile"), path.string());
    if (kept.identity == identity) return kept;
    log_warning("profile",
                fmt::format("{} was measured on something else: measuring anew", path.string()));
  } catch (const ConfigError& broken) {
    log_warning("profile",
                fmt::format("the kept profile is not usable, measuring anew: {}", broken.what()));
  }
  return std::nullopt;
}

std::string keep_profile(const std::filesystem::path& folder, const KeptProfile& kept) {
  const std::filesystem::path path = kept_profile_path(folder, kept.identity);
  try {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    write_file_atomically(path, to_json(kept), "profile");
    return path.string();
  } catch (const ResourceError& failed) {
    log_warning("profile", fmt::format("the profile is not kept, the next run measures again: {}",
                                       failed.what()));
    return "";
  }
}

}  // namespace millrace
