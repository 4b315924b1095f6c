#pragma once

#include <cstddef>
#include <string_view>

namespace millrace {

/// Bytes of the character that begins at `at` in a UTF-8 text (RFC 3629); 0 where none does.
std::size_t utf8_size(std::string_view text, std::size_t at);

}  // namespace millrace
