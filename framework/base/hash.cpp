#include "framework/base/hash.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace millrace {
namespace {

constexpr std::uint64_t kPrime1 = 0x9E3779B185EBCA87, kPrime2 = 0xC2B2AE3D27D4EB4F,
                        kPrime3 = 0x165667B19E3779F9, kPrime4 = 0x85EBCA77C2B2AE63,
                        kPrime5 = 0x27D4EB2F165667C5;

static_assert(std::endian::native == std::endian::little, "words are read as they lie in memory");

template <typename Word>
Word word_at(const unsigned char* data) {
  Word word;
  std::memcpy(&word, data, sizeof word);
  return word;
}

std::uint64_t round_of(std::uint64_t lane, std::uint64_t word) {
  return std::rotl(lane + word * kPrime2, 31) * kPrime1;
}

std::uint64_t merge(std::uint64_t hash, std::uint64_t lane) {
  return (hash ^ round_of(0, lane)) * kPrime1 + kPrime4;
}

std::uint64_t mix_rest(std::uint64_t hash, const unsigned char* data, std::size_t bytes) {
  for (; bytes >= 8; data += 8, bytes -= 8) {
    hash = std::rotl(hash ^ round_of(0, word_at<std::uint64_t>(data)), 27) * kPrime1 + kPrime4;
  }
  if (bytes >= 4) {
    hash = std::rotl(hash ^ word_at<std::uint32_t>(data) * kPrime1, 23) * kPrime2 + kPrime3;
    data += 4, bytes -= 4;
  }
  for (; bytes > 0; ++data, --bytes) hash = std::rotl(hash ^ *data * kPrime5, 11) * kPrime1;
  return hash;
}

std::uint64_t avalanche(std::uint64_t hash) {
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

}  // namespace

const std::array<std::uint64_t, 4> Hash64::kStart = {kPrime1 + kPrime2, kPrime2, 0, 0 - kPrime1};

void Hash64::mix_block(const unsigned char* block) {
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    lanes_[i] = round_of(lanes_[i], word_at<std::uint64_t>(block + 8 * i));
  }
}

void Hash64::add(const void* data, std::size_t bytes) {
  const auto* next = static_cast<const unsigned char*>(data);
  total_bytes_ += bytes;
  if (rest_bytes_ > 0) {
    const std::size_t taken = std::min(bytes, kBlockBytes - rest_bytes_);
    std::copy_n(next, taken, rest_.begin() + static_cast<std::ptrdiff_t>(rest_bytes_));
    rest_bytes_ += taken, next += taken, bytes -= taken;
    if (rest_bytes_ < kBlockBytes) return;
    mix_block(rest_.data());
  }
  for (; bytes >= kBlockBytes; next += kBlockBytes, bytes -= kBlockBytes) mix_block(next);
  std::copy_n(next, bytes, rest_.begin());
  rest_bytes_ = bytes;
}

std::uint64_t Hash64::value() const {
  std::uint64_t hash = kPrime5;
  if (total_bytes_ >= kBlockBytes) {
    hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) +
           std::rotl(lanes_[3], 18);
    for (const std::uint64_t lane : lanes_) hash = merge(hash, lane);
  }
  return avalanche(mix_rest(hash + total_bytes_, rest_.data(), rest_bytes_));
}

}  // namespace millrace
