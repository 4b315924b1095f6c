#include "framework/base/hash.hpp"

#include <gtest/gtest.h>

#include <string>

namespace millrace {
namespace {

std::uint64_t hash_of(std::string_view text) {
  Hash64 hash;
  hash.add(text);
  return hash.value();
}

/// The generator of xxHash's own sanity check.
std::string sanity_bytes(std::size_t count) {
  std::string bytes;
  std::uint64_t generator = 2654435761u;
  for (std::size_t i = 0; i < count; ++i) {
    bytes.push_back(static_cast<char>(generator >> 56));
    generator *= 11400714785074694797u;
  }
  return bytes;
}

TEST(Hash64, GivesThePublishedValues) {
  EXPECT_EQ(hash_of(""), 0xEF46DB3751D8E999u);
  EXPECT_EQ(hash_of("a"), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(hash_of("abc"), 0x44BC2CF5AD770999u);
  EXPECT_EQ(hash_of(sanity_bytes(1)), 0xE934A84ADB052768u);
  EXPECT_EQ(hash_of(sanity_bytes(4)), 0x9136A0DCA57457EEu);
  EXPECT_EQ(hash_of(sanity_bytes(14)), 0x8282DCC4994E35C8u);
  EXPECT_EQ(hash_of(sanity_bytes(222)), 0xB641AE8CB691C174u);
}

TEST(Hash64, DoesNotDependOnThePieces) {
  const std::string bytes = sanity_bytes(200);
  const std::uint64_t whole = hash_of(bytes);
  for (std::size_t piece = 1; piece < 70; ++piece) {
    Hash64 hash;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      hash.add(std::string_view(bytes).substr(at, piece));
      hash.value();  // asking in between changes nothing
    }
    EXPECT_EQ(hash.value(), whole) << piece;
  }
}

TEST(Hash64, EveryFlippedBitShows) {
  std::string bytes = sanity_bytes(101);
  const std::uint64_t whole = hash_of(bytes);
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
    EXPECT_NE(hash_of(bytes), whole) << bit;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
  }
}

}  // namespace
}  // namespace millrace
