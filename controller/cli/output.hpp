#pragma once
// Standard output: one JSON document or text for people, nothing else.

#include <string>
#include <string_view>

namespace millrace::cli {

/// Prints, with a line end, and flushes. Throws ResourceError where the system did not take all.
void print(std::string_view text);

/// Writes a result for a later verb (`-o FILE`), complete or not at all, and says so in the log.
void save(const std::string& file, std::string_view text);

}  // namespace millrace::cli
