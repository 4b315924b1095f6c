#include "models/data/utf8.hpp"

namespace millrace {
namespace {

/// By the first byte; 0: it begins none.
std::size_t size_from(unsigned char first) {
  if (first < 0x80) return 1;
  if (first < 0xc2) return 0;  // within a character, or a longer form than needed
  if (first < 0xe0) return 2;
  if (first < 0xf0) return 3;
  return first < 0xf5 ? 4 : 0;
}

/// Whether the second byte makes a code point that is neither too small for so many bytes, nor a
/// surrogate, nor above U+10FFFF.
bool is_second(unsigned char first, unsigned char second) {
  if (first == 0xe0) return second >= 0xa0;
  if (first == 0xed) return second < 0xa0;
  if (first == 0xf0) return second >= 0x90;
  return first != 0xf4 || second < 0x90;
}

}  // namespace

std::size_t utf8_size(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::size_t size = size_from(byte(at));
  if (size == 0 || at + size > text.size()) return 0;
  for (std::size_t i = at + 1; i < at + size; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  return size == 1 || is_second(byte(at), byte(at + 1)) ? size : 0;
}

std::string valid_utf8(std::string_view text) {
  std::string valid;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = utf8_size(text, at);
    valid += size == 0 ? "\xef\xbf\xbd" : text.substr(at, size);
    at += size == 0 ? 1 : size;
  }
  return valid;
}

}  // namespace millrace
