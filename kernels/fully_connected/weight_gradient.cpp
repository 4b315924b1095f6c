#include <algorithm>
#include <cstddef>
#include <cstring>

#include "kernels/fully_connected/blocks.hpp"
#include "kernels/fully_connected/fully_connected.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/fully_connected/weight_gradient.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/matrix/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {

// dW = dy^T x: outputs of dy are broadcast against panels of x; the samples are the inner
// dimension.

std::int64_t gradient_panel() { return kPanel; }
std::int64_t gradient_rows() { return kTileRows; }

using Near = std::span<const ConstMatrix>;

/// Brings the part of the tile that its user goes to next into cache, a panel while each panel of
/// this one is formed, some lines at each call.
class Fetch {
 public:
  /// `calls` for a panel.
  Fetch(const WeightGradient::Tile& next, Near near, std::int64_t calls)
      : next_(next), near_(near), each_(ceil_div(next.rows, calls)) {}

  void start(std::int64_t column) {
    column_ = column;
    row_ = column < next_.columns ? 0 : next_.rows;
  }
  HWY_INLINE void operator()() {
    for (const std::int64_t end = std::min(row_ + each_, next_.rows); row_ < end; ++row_)
      for (const ConstMatrix& matrix : near_)
        for (std::int64_t line = 0; line < kPanel; line += kLineFloats)
          fetch_line(matrix.data + (next_.o + row_) * matrix.stride + next_.i + column_ + line);
  }

 private:
  const WeightGradient::Tile& next_;
  Near near_;
  std::int64_t each_, row_ = 0, column_ = 0;
};

/// kTileRows rows of values, `columns` wide, whatever rows exist, from n units of samples dy
/// [n][kBlockRows] and x [columns / kPanel][n][kPanel].
template <typename Products>
void multiply_samples(std::int64_t n, const float* dy, const float* x, std::int64_t columns,
                      const WeightGradient::Tile& next, Near near, float* values) {
  constexpr std::int64_t kSamples = 256;  // at a time: a panel's part stays in the L1 cache
  constexpr std::int64_t kStep = WeightGradient::kBlockRows, kRow = WeightGradient::kTileColumns;
  static_assert(kStep % kTileRows == 0 && kRow % kPanel == 0);
  Fetch fetch(next, near, beside_calls(std::min(kSamples, n)));
  for (std::int64_t s = 0; s < n; s += kSamples)
    for (std::int64_t c = 0; c < columns; c += kPanel) {
      if (s == 0) fetch.start(c);
      multiply_tile<kTileRows, 2, Products>({dy + s * kStep, 1, kStep, 0}, x + c * n + s * kPanel,
                                            1, std::min(kSamples, n - s), values + c, kRow, s > 0,
                                            fetch);
    }
}

void form_tile(Precision precision, std::int64_t n, const float* dy, const float* x,
               std::int64_t columns, const WeightGradient::Tile& next, Near near, float* values) {
  (precision == Precision::bf16
       ? multiply_samples<PairProducts>
       : multiply_samples<FloatProducts>)(n, dy, x, columns, next, near, values);
}

}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::kernels {

HWY_EXPORT(gradient_panel);
HWY_EXPORT(gradient_rows);
HWY_EXPORT(form_tile);

namespace {

/// A row of a block; columns beyond `size` are zero.
void pack_floats(const float* row, std::int64_t size, std::int64_t width, float* to) {
  std::copy_n(row, size, to);
  std::fill(to + size, to + width, 0.0F);
}

/// The same into one half of each pair: parts that are added at the same time may share a pair.
void pack_halves(const float* row, std::int64_t size, std::int64_t width, bool high, float* pairs) {
  auto* const bytes = reinterpret_cast<std::byte*>(pairs) + (high ? 2 : 0);
  for (std::int64_t i = 0; i < width; ++i) {
    const std::uint16_t half = i < size ? to_bf16(row[i]) : 0;
    std::memcpy(bytes + 4 * i, &half, sizeof half);
  }
}

/// Rows [count, columns] become rows first … of blocks [columns / width][n][width], or of as many
/// units [columns / width][n / 2][width]; columns beyond are zero.
void pack_rows(Precision precision, ConstMatrix rows, std::int64_t columns, std::int64_t first,
               std::int64_t count, std::int64_t n, std::int64_t width, float* blocks) {
  const std::int64_t number = ceil_div(columns, width);
#pragma omp parallel for schedule(static) if (number * count > 1024)
  for (std::int64_t b = 0; b < number; ++b) {
    const std::int64_t size = std::min(width, columns - b * width);
    for (std::int64_t s = first; s < first + count; ++s) {
      const float* row = rows.data + (s - first) * rows.stride + b * width;
      if (precision == Precision::fp32) {
        pack_floats(row, size, width, blocks + (b * n + s) * width);
        continue;
      }
      float* const pairs = blocks + (b * ceil_div(n, 2) + s / 2) * width;
      pack_halves(row, size, width, s % 2 != 0, pairs);
      if (s + 1 == n && n % 2 != 0) pack_halves(row, 0, width, true, pairs);
    }
  }
}

}  // namespace

std::int64_t WeightGradient::workspace(const FullyConnectedSize& size) {
  return size.n * (round_up(size.in, kWidestPanel) + round_up(size.out, kBlockRows));
}

WeightGradient::WeightGradient(const FullyConnectedSize& size, Precision precision,
                               float* workspace)
    : size_(size),
      precision_(precision),
      tile_rows_(HWY_DYNAMIC_DISPATCH(gradient_rows)()),
      x_(workspace),
      dy_(workspace + size.n * round_up(size.in, kWidestPanel)) {}

void WeightGradient::add(std::int64_t first, std::int64_t n, ConstMatrix x, ConstMatrix dy) {
  pack_rows(precision_, x, size_.in, first, n, size_.n, HWY_DYNAMIC_DISPATCH(gradient_panel)(), x_);
  pack_rows(precision_, dy, size_.out, first, n, size_.n, kBlockRows, dy_);
}

std::int64_t WeightGradient::groups(std::int64_t block) const {
  const std::int64_t rows = std::min(kBlockRows, size_.out - block * kBlockRows);
  return ceil_div(rows, tile_rows_);
}

std::int64_t WeightGradient::tiles(std::int64_t block) const {
  return groups(block) * ceil_div(size_.in, kTileColumns);
}

WeightGradient::Tile WeightGradient::tile_of(std::int64_t block, std::int64_t number) const {
  if (number == tiles(block)) return {};
  const std::int64_t o = block * kBlockRows + number % groups(block) * tile_rows_;
  const std::int64_t i = number / groups(block) * kTileColumns;
  return {o, i, std::min(tile_rows_, size_.out - o), std::min(kTileColumns, size_.in - i), nullptr};
}

void WeightGradient::form(const Tile& tile, const Tile& next, std::span<const ConstMatrix> near,
                          float* values) const {
  const std::int64_t n = precision_ == Precision::bf16 ? ceil_div(size_.n, 2) : size_.n;
  const float* dy = dy_ + tile.o / kBlockRows * kBlockRows * n + tile.o % kBlockRows;
  HWY_DYNAMIC_DISPATCH(form_tile)
  (precision_, n, dy, x_ + tile.i * n, tile.columns, next, near, values);
}

}  // namespace millrace::kernels
#endif
