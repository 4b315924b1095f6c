#pragma once
// What the operands of a matrix product are rounded to.

#include <bit>
#include <cstdint>

namespace millrace::kernels {

/// Sums, and all that is read and written, are float32 either way.
enum class Precision {
  fp32,
  bf16,  ///< operands rounded to the nearest bfloat16, ties to even
};

/// Whether this CPU multiplies bfloat16 (AVX512-BF16). REQUIRED of Precision::bf16 where it has
/// AVX-512; below that, float32 products stand in, for tests.
bool has_bf16_products();

/// The nearest bfloat16's bits; what is no number stays so.
constexpr std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const bool is_number = (bits & 0x7FFFFFFFU) <= 0x7F800000U;
  return static_cast<std::uint16_t>(
      (is_number ? bits + 0x7FFFU + (bits >> 16 & 1U) : bits | 0x400000U) >> 16);
}

// A pair of bfloat16 in the 32 bits of a float, as products of Precision::bf16 read them: element
// 2 i of the inner dimension in the low half, 2 i + 1 in the high one.

constexpr float pair_of(float low, float high) {
  return std::bit_cast<float>(std::uint32_t{to_bf16(high)} << 16 | to_bf16(low));
}
constexpr float low_of_pair(float pair) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(pair) << 16);
}
constexpr float high_of_pair(float pair) {
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(pair) & 0xFFFF0000U);
}

}  // namespace millrace::kernels
