#pragma once
// The generated text: short tales that follow rules which a network can find.

#include <cstdint>
#include <string>

namespace millrace {

struct TaleSettings {
  std::int64_t tales = 4000;
  std::uint64_t seed = 1;
  bool operator==(const TaleSettings&) const = default;
};

/// Writes folder/train.txt and, of every tenth tale, folder/val.txt: who met whom, what they had,
/// and how many that made. Names, animals and things are drawn; plurals, pronouns and sums follow
/// from them. The same settings give the same bytes. Complete or absent. Returns false where the
/// set was there already. Throws ConfigError (tag "data") where the folder holds anything else or
/// tales is not 10..10,000,000, ResourceError where it cannot be written.
bool make_tales(const std::string& folder, const TaleSettings& settings);

}  // namespace millrace
