#pragma once
// CheckpointInfo as a safetensors file's metadata, and back.

#include <map>
#include <string>

#include "controller/checkpoint.hpp"

namespace millrace {

/// XXH64, 16 hexadecimal digits, over the other metadata and over name, type, shape and data of
/// each tensor, in order of their names.
inline constexpr const char* kChecksumKey = "millrace.checksum";

std::map<std::string, std::string> to_metadata(const CheckpointInfo& info);

/// Throws ConfigError (tag "checkpoint") naming `origin`: no checkpoint, another version, a value
/// missing or not readable.
CheckpointInfo info_from_metadata(const std::map<std::string, std::string>& metadata,
                                  const std::string& origin);

}  // namespace millrace
