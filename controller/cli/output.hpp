#pragma once
// Standard output: one JSON document or text for people, nothing else.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace millrace::cli {

/// Prints, with a line end, and flushes. Throws ResourceError where the system did not take all.
void print(std::string_view text);

/// What --json prints. Names of files and classes need not be UTF-8: other bytes become U+FFFD.
std::string json_text(const nlohmann::ordered_json& json);

/// Throws ResourceError where `file` ("": none) would have no folder to lie in: said before the
/// work.
void require_folder_of(const std::string& file);

/// Writes a result for a later verb (`-o FILE`), complete or not at all, and says so in the log.
void save(const std::string& file, std::string_view text);

}  // namespace millrace::cli
