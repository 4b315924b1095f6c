#pragma once
// XXH64, the public 64-bit hash (github.com/Cyan4973/xxHash, seed 0): finds damaged files. No
// protection against a forger.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace millrace {

/// Hash of a stream of bytes, given in pieces of any size.
class Hash64 {
 public:
  void add(const void* data, std::size_t bytes);
  void add(std::string_view text) { add(text.data(), text.size()); }
  /// Of everything so far; more may follow.
  std::uint64_t value() const;

 private:
  static constexpr std::size_t kBlockBytes = 32;

  void mix_block(const unsigned char* block);

  std::array<std::uint64_t, 4> lanes_ = kStart;
  std::array<unsigned char, kBlockBytes> rest_{};  ///< bytes that do not fill a block yet
  std::size_t rest_bytes_ = 0;
  std::uint64_t total_bytes_ = 0;

  static const std::array<std::uint64_t, 4> kStart;
};

}  // namespace millrace
