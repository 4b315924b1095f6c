#pragma once
// The checksum of a record: CRC-32C (RFC 3720, B.4), masked as TFRecord files have it.

#include <cstdint>
#include <string_view>

namespace millrace {

std::uint32_t crc32c(std::string_view data);

/// A checksum of data that hold checksums would be a weak one without.
std::uint32_t masked_crc32c(std::string_view data);

}  // namespace millrace
