// The micro-kernel of every matrix product here: a tile of C, kRows rows of one panel (two vectors
// wide; one, for matrices that have no more), held in registers over the inner dimension. Included
// once for each instruction set, between HWY_BEFORE_NAMESPACE and HWY_AFTER_NAMESPACE of a source
// that uses it.

#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "hwy/highway.h"
#include "kernels/matrix/lanes-inl.h"
#include "kernels/matrix/products-inl.h"

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
/// The rows of a tile for a panel of so many vectors.
template <int kVectors>
inline constexpr int kRowsOf = kTileRows * 2 / kVectors;

/// Where the elements of A are: row r, inner index i = s * inner + j of segment s at
/// a[r * row + s * segment + j * step].
struct Operand {
  const float* a;
  std::ptrdiff_t row, step, segment;
};

/// Brings a line into the second-level cache: the first has no room beside a product's operands.
/// Inline: GCC drops calls of a function that does nothing else.
HWY_INLINE void fetch_line(const float* line) { __builtin_prefetch(line, 0, 2); }

/// What a product may have done beside it: nothing.
struct Nothing {
  HWY_INLINE void operator()() const {}
};

/// Inner indices between two calls of what is done beside a product; the last few have one each.
inline constexpr std::ptrdiff_t kBesideEvery = 4;
constexpr std::ptrdiff_t beside_calls(std::ptrdiff_t inner) {
  return inner / kBesideEvery + inner % kBesideEvery;
}

/// sum += A(., j) * b for one inner index.
template <int kRows, int kVectors, typename Products>
HWY_INLINE void add_products(const float* a, std::ptrdiff_t row, const float* HWY_RESTRICT b,
                             Vector (&sum)[kRows][kVectors]) {
  const Floats d;
  Vector values[kVectors];
  for (int v = 0; v < kVectors; ++v) values[v] = hn::LoadU(d, b + v * kLanes);
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r) {
    const Vector value = hn::Set(d, a[r * row]);
    for (int v = 0; v < kVectors; ++v) sum[r][v] = Products::add(value, values[v], sum[r][v]);
  }
}

/// c[r * c_row + lane] (+)= sum over segments and j of A(r, s, j) * b[(s * inner + j) * width +
/// lane] for kRows rows and width = kVectors * kLanes lanes. `add`: to what c holds. Products says
/// what an element of A and b is: indices count its units. beside() is called beside_calls(inner)
/// times a segment: fetches and copies, a few at a time, hide behind the arithmetic; in one go they
/// halt it.
template <int kRows, int kVectors = 2, typename Products = FloatProducts, typename Beside = Nothing>
HWY_INLINE void multiply_tile(const Operand& o, const float* HWY_RESTRICT b,
                              std::ptrdiff_t segments, std::ptrdiff_t inner, float* HWY_RESTRICT c,
                              std::ptrdiff_t c_row, bool add, Beside&& beside = {}) {
  const Floats d;
  constexpr std::ptrdiff_t kWidth = kVectors * kLanes;
  Vector sum[kRows][kVectors];
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(d);
  for (std::ptrdiff_t s = 0; s < segments; ++s) {
    const float* a = o.a + s * o.segment;
    std::ptrdiff_t j = 0;
    for (; j + kBesideEvery <= inner; j += kBesideEvery) {
      beside();
#pragma GCC unroll kBesideEvery
      for (std::ptrdiff_t k = 0; k < kBesideEvery; ++k, a += o.step, b += kWidth)
        add_products<kRows, kVectors, Products>(a, o.row, b, sum);
    }
    for (; j < inner; ++j, a += o.step, b += kWidth) {
      beside();
      add_products<kRows, kVectors, Products>(a, o.row, b, sum);
    }
  }
#pragma GCC unroll 32
  for (int r = 0; r < kRows; ++r, c += c_row)
    for (int v = 0; v < kVectors; ++v) {
      if (add) sum[r][v] = hn::Add(sum[r][v], hn::LoadU(d, c + v * kLanes));
      hn::StoreU(sum[r][v], d, c + v * kLanes);
    }
}

template <int kRows, int kVectors, typename Products, typename Beside>
HWY_NOINLINE void multiply_some(const Operand& o, const float* b, std::ptrdiff_t segments,
                                std::ptrdiff_t inner, float* c, std::ptrdiff_t c_row, bool add,
                                Beside& beside) {
  multiply_tile<kRows, kVectors, Products>(o, b, segments, inner, c, c_row, add, beside);
}

/// By number of rows, from 1 on.
template <int kVectors, typename Products, typename Beside, std::size_t... kIndex>
constexpr auto tiles_by_rows(std::index_sequence<kIndex...>) {
  return std::array{&multiply_some<static_cast<int>(kIndex) + 1, kVectors, Products, Beside>...};
}

/// The same for 1 <= rows <= kRowsOf<kVectors>.
template <int kVectors = 2, typename Products = FloatProducts, typename Beside = Nothing>
HWY_INLINE void multiply_rows(int rows, const Operand& o, const float* b, std::ptrdiff_t segments,
                              std::ptrdiff_t inner, float* c, std::ptrdiff_t c_row, bool add,
                              Beside&& beside = {}) {
  static constexpr auto kTiles = tiles_by_rows<kVectors, Products, std::remove_reference_t<Beside>>(
      std::make_index_sequence<kRowsOf<kVectors>>());
  kTiles[static_cast<std::size_t>(rows) - 1](o, b, segments, inner, c, c_row, add, beside);
}

/// Calls body(begin, rows) for groups of at most kRows of `count` rows, as even as can be: small
/// groups leave accumulators, and so the multipliers, idle.
template <int kRows = kTileRows, typename Body>
HWY_INLINE void for_each_group(std::ptrdiff_t count, const Body& body) {
  const std::ptrdiff_t groups = (count + kRows - 1) / kRows;
  if (groups == 0) return;
  const std::ptrdiff_t least = count / groups, larger = count % groups;
  for (std::ptrdiff_t group = 0, begin = 0; group < groups; ++group) {
    const std::ptrdiff_t rows = least + (group < larger ? 1 : 0);
    body(begin, static_cast<int>(rows));
    begin += rows;
  }
}

}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
