#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace millrace {

/// Bytes of the character that begins at `at` in a UTF-8 text (RFC 3629); 0 where none does.
std::size_t utf8_size(std::string_view text, std::size_t at);

/// The text with U+FFFD for each byte that belongs to no character.
std::string valid_utf8(std::string_view text);

}  // namespace millrace
