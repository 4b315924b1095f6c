#pragma once
// The header of a safetensors file: JSON text to entries and back.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/safetensors.hpp"

namespace millrace {

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<SafetensorsFile::Entry> entries;  ///< sorted by name
};

/// Bytes of `shape` elements of `dtype`; -1 for a type that is not known, a negative dimension or a
/// product that does not fit 63 bits.
std::int64_t safetensors_bytes(std::string_view dtype, const std::vector<std::int64_t>& shape);

/// Checks text, types, sizes and that the entries cover `data_bytes` without a gap or an overlap.
/// Throws ConfigError (tag "safetensors") naming `origin`, the place and both values.
SafetensorsHeader parse_safetensors_header(std::string_view text, std::int64_t data_bytes,
                                           const std::string& origin);

/// Keys sorted, padded by spaces so that the data after it begins at a multiple of 8.
std::string safetensors_header_text(const SafetensorsHeader& header);

}  // namespace millrace
