#pragma once
// Random draws that depend on their key alone: the same on every machine, under any thread order.

#include <cstdint>
#include <initializer_list>

namespace millrace {

/// SplitMix64 (Steele, Lea, Flood 2014), seeded by mixing the parts of a key one by one.
class Draws {
 public:
  explicit Draws(std::initializer_list<std::uint64_t> key) {
    for (const std::uint64_t part : key) state_ = mix(state_ ^ part) + kStep;
  }

  std::uint64_t next() { return mix(state_ += kStep); }
  /// Uniform in [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Uniform in 0..count-1 for count >= 1; the bias is below count / 2^64.
  std::uint64_t below(std::uint64_t count) {
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next()) * count) >> 64);
  }
  bool coin() { return (next() >> 63) != 0; }

 private:
  static constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15;

  static std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }

  std::uint64_t state_ = 0;
};

}  // namespace millrace
