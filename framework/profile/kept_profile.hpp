#pragma once
// Profiles that were measured before: one file each, named by a hash of what it was measured on.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "framework/profile/core_rates.hpp"
#include "millrace/profile.hpp"
#include "millrace/topology.hpp"

namespace millrace {

struct KeptProfile {
  std::string identity;  ///< machine, model, batch, build and libraries, as text: compared whole
  std::vector<CoreKind> kinds;  ///< as measuring found them
  CoreRates rates;              ///< of the probe when it was measured
  Profile profile;
  std::int64_t most_samples = 0;  ///< of one pass, that the memory held when it was measured
  bool operator==(const KeptProfile&) const = default;
};

/// JSON "millrace-kept-profile": the cost graph under "costs", the rest beside it.
std::string to_json(const KeptProfile& kept);
/// Throws ConfigError (tag "profile") naming `origin` and the place.
KeptProfile kept_profile_from_json(std::string_view text, const std::string& origin);

/// `folder`/HASH.json, HASH being 16 hexadecimal digits of the identity.
std::filesystem::path kept_profile_path(const std::filesystem::path& folder,
                                        const std::string& identity);

/// The profile that is kept for `identity`; nothing where there is none. A file that cannot be read
/// or holds something else is named in a warning and counts as none.
std::optional<KeptProfile> find_kept_profile(const std::filesystem::path& folder,
                                             const std::string& identity);

/// Keeps it (the folder is made, an older file replaced at once or not at all) and returns the
/// file's path; where that fails, warns and returns "".
std::string keep_profile(const std::filesystem::path& folder, const KeptProfile& kept);

}  // namespace millrace
