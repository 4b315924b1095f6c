// The micro-kernel of every matrix product here: a tile of C, kRows rows of one panel (two vectors
// wide), held in registers over the inner dimension. Included once for each instruction set,
// between HWY_BEFORE_NAMESPACE and HWY_AFTER_NAMESPACE of a source that uses it.

#include <cstddef>

#include "hwy/highway.h"
#include "kernels/matrix/lanes-inl.h"

#if defined(MILLRACE_KERNELS_MATRIX_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MILLRACE_KERNELS_MATRIX_TILE_INL_H_
#undef MILLRACE_KERNELS_MATRIX_TILE_INL_H_
#else
#define MILLRACE_KERNELS_MATRIX_TILE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr int kPanel = 2 * kLanes;
/// Accumulators fill the register file but for two operands and the broadcast.
inline constexpr int kTileRows = HWY_TARGET == HWY_AVX3 ? 12 : (HWY_ARCH_ARM_A64 ? 8 : 6);

/// Where the elements of A are: row r, inner index i = s * inner + j of segment s at
/// a[r * row + s * segment + j * step].
struct Operand {
  const float* a;
  std::ptrdiff_t row, step, segment;
};

/// c[r * c_row + lane] (+)= sum over segments and j of A(r, s, j) * b[(s * inner + j) * kPanel +
/// lane] for kRows rows and kPanel lanes. `add`: to what c holds.
template <int kRows>
HWY_INLINE void multiply_tile(const Operand& o, const float* HWY_RESTRICT b,
                              std::ptrdiff_t segments, std::ptrdiff_t inner, float* HWY_RESTRICT c,
                              std::ptrdiff_t c_row, bool add) {
  const Floats d;
  Vector sum[kRows][2];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = hn::Zero(d);
  for (std::ptrdiff_t s = 0; s < segments; ++s) {
    const float* a = o.a + s * o.segment;
    for (std::ptrdiff_t j = 0; j < inner; ++j, a += o.step, b += kPanel) {
      const Vector b0 = hn::LoadU(d, b), b1 = hn::LoadU(d, b + kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const Vector value = hn::Set(d, a[r * o.row]);
        sum[r][0] = hn::MulAdd(value, b0, sum[r][0]);
        sum[r][1] = hn::MulAdd(value, b1, sum[r][1]);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r, c += c_row) {
    if (add) {
      sum[r][0] = hn::Add(sum[r][0], hn::LoadU(d, c));
      sum[r][1] = hn::Add(sum[r][1], hn::LoadU(d, c + kLanes));
    }
    hn::StoreU(sum[r][0], d, c);
    hn::StoreU(sum[r][1], d, c + kLanes);
  }
}

/// The same for 1 <= rows <= kTileRows.
template <int kRows = kTileRows>
HWY_NOINLINE void multiply_rows(int rows, const Operand& o, const float* b, std::ptrdiff_t segments,
                                std::ptrdiff_t inner, float* c, std::ptrdiff_t c_row, bool add) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return multiply_rows<kRows - 1>(rows, o, b, segments, inner, c, c_row, add);
  }
  multiply_tile<kRows>(o, b, segments, inner, c, c_row, add);
}

/// Calls body(begin, rows) for groups of at most kTileRows of `count` rows, as even as can be:
/// small groups leave accumulators, and so the multipliers, idle.
template <typename Body>
HWY_INLINE void for_each_group(std::ptrdiff_t count, const Body& body) {
  const std::ptrdiff_t groups = (count + kTileRows - 1) / kTileRows;
  for (std::ptrdiff_t group = 0; group < groups; ++group) {
    const std::ptrdiff_t begin = group * count / groups, end = (group + 1) * count / groups;
    body(begin, static_cast<int>(end - begin));
  }
}

}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
