// What a matrix product's operands are made of: floats, or pairs of bfloat16. A matrix of pairs
// (precision.hpp) lies in memory as a matrix of floats with half the inner dimension, so the tiles
// and the loops around them serve both. Included once for each instruction set.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "kernels/matrix/lanes-inl.h"

#if defined(MILLRACE_KERNELS_MATRIX_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MILLRACE_KERNELS_MATRIX_PRODUCTS_INL_H_
#undef MILLRACE_KERNELS_MATRIX_PRODUCTS_INL_H_
#else
#define MILLRACE_KERNELS_MATRIX_PRODUCTS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

struct FloatProducts {
  static constexpr std::ptrdiff_t kPerUnit = 1;  ///< elements of the inner dimension in 32 bits

  static HWY_INLINE Vector add(Vector a, Vector b, Vector sum) { return hn::MulAdd(a, b, sum); }

  /// Elements `first` … of a row, which are the inner dimension.
  static HWY_INLINE void store_along(Vector value, float* row, std::ptrdiff_t first) {
    hn::StoreU(value, Floats(), row + first);
  }
  /// Row `row` (of all) of the inner dimension; even rows come first.
  static HWY_INLINE void store_across(Vector value, std::ptrdiff_t, float* units) {
    hn::StoreU(value, Floats(), units);
  }
  /// store_across() to a whole vector of what is larger than the caches: past them, since they
  /// would first read what is overwritten. REQUIRES units aligned to a vector.
  static HWY_INLINE void stream_across(Vector value, std::ptrdiff_t, float* units) {
    hn::Stream(value, Floats(), units);
  }
};

/// For AVX-512 by the instructions of AVX512-BF16, which a caller has to make sure of
/// (has_bf16_products()); as assembler, since GCC inlines no function of more instructions than its
/// caller's.
class PairProducts {
 public:
  static constexpr std::ptrdiff_t kPerUnit = 2;

  static HWY_INLINE Vector add(Vector a, Vector b, Vector sum) {
#if HWY_TARGET == HWY_AVX3
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
    return sum;
#else
    return hn::MulAdd(high(a), high(b), hn::MulAdd(low(a), low(b), sum));
#endif
  }

  static HWY_INLINE Vector pack(Vector low, Vector high) {
    const auto upper = hn::ShiftLeft<16>(hn::PromoteTo(Words(), halves(high)));
    return hn::BitCast(Floats(), hn::Or(hn::PromoteTo(Words(), halves(low)), upper));
  }

  static HWY_INLINE void store_along(Vector value, float* row, std::ptrdiff_t first) {
    std::uint16_t bits[kLanes];
    hn::StoreU(halves(value), Halves(), bits);
    std::memcpy(reinterpret_cast<std::byte*>(row) + first * 2, bits, sizeof bits);
  }

  static HWY_INLINE void store_across(Vector value, std::ptrdiff_t row, float* units) {
    auto word = hn::PromoteTo(Words(), halves(value));
    if (row % 2 != 0)
      word = hn::Or(hn::ShiftLeft<16>(word), hn::BitCast(Words(), hn::LoadU(Floats(), units)));
    hn::StoreU(hn::BitCast(Floats(), word), Floats(), units);
  }
  /// A unit has two rows: the first is read again.
  static HWY_INLINE void stream_across(Vector value, std::ptrdiff_t row, float* units) {
    store_across(value, row, units);
  }

 private:
  using Words = hn::RebindToUnsigned<Floats>;
  using Halves = hn::Rebind<std::uint16_t, Floats>;

  /// The nearest bfloat16 of each lane.
  static HWY_INLINE hn::Vec<Halves> halves(Vector value) {
#if HWY_TARGET == HWY_AVX3
    hn::Vec<Halves> result;
    asm("vcvtneps2bf16 %1, %0" : "=v"(result.raw) : "v"(value.raw));
    return result;
#else
    const Words d;
    const auto bits = hn::BitCast(d, value);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 1));
    const auto up = hn::Add(bits, hn::Add(odd, hn::Set(d, 0x7FFF)));
    const auto quiet = hn::Or(bits, hn::Set(d, 0x400000));  // rounding could make a number of it
    const auto number = hn::RebindMask(d, hn::Eq(value, value));
    return hn::TruncateTo(Halves(), hn::ShiftRight<16>(hn::IfThenElse(number, up, quiet)));
#endif
  }

  static HWY_INLINE Vector low(Vector pair) {
    return hn::BitCast(Floats(), hn::ShiftLeft<16>(hn::BitCast(Words(), pair)));
  }
  static HWY_INLINE Vector high(Vector pair) {
    return hn::BitCast(Floats(),
                       hn::And(hn::BitCast(Words(), pair), hn::Set(Words(), 0xFFFF0000U)));
  }
};

}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
