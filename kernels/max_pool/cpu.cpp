#include <algorithm>
#include <limits>

#include "kernels/max_pool/holders.hpp"
#include "kernels/max_pool/max_pool.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/max_pool/cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/matrix/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {
namespace {

using Index = std::int64_t;

/// The taps [begin, end) of a window at `origin` that lie inside [0, size).
struct Taps {
  Index begin, end;
};

HWY_INLINE Taps taps_inside(Index origin, Index size, Index taps, Index dilation) {
  if (origin >= 0 && origin + (taps - 1) * dilation < size) return {0, taps};
  const Index before = origin < 0 ? (-origin + dilation - 1) / dilation : 0;
  const Index until = origin < size ? (size - origin + dilation - 1) / dilation : 0;
  return {before, std::min(taps, until)};
}

/// One window: `x` is its pixel (0, 0), which may lie outside.
struct Window {
  const float* x;
  Taps rows, columns;
};

using Bytes = hn::Rebind<std::uint8_t, Floats>;

/// `kPart`: the last channels, fewer than a vector has lanes.
template <bool kPart>
HWY_INLINE Vector load(const float* p, Index lanes) {
  return load_lanes(p, kPart ? lanes : kLanes);
}

template <bool kPart>
HWY_INLINE void store(Vector value, float* p, Index lanes) {
  store_lanes(value, p, kPart ? lanes : kLanes);
}

template <bool kPart>
HWY_INLINE hn::Vec<Bytes> load(const std::uint8_t* p, Index lanes) {
  if constexpr (!kPart) return hn::LoadU(Bytes(), p);
  std::uint8_t all[kLanes] = {};
  std::copy_n(p, lanes, all);
  return hn::LoadU(Bytes(), all);
}

template <bool kPart>
HWY_INLINE void store(hn::Vec<Bytes> value, std::uint8_t* p, Index lanes) {
  if constexpr (!kPart) return hn::StoreU(value, Bytes(), p);
  std::uint8_t all[kLanes];
  hn::StoreU(value, Bytes(), all);
  std::copy_n(all, lanes, p);
}

/// `kSide`: of a whole window of so many neighbouring rows and columns; 0: of any window.
template <int kSide, bool kPart>
HWY_INLINE void pool_lanes(const PoolShape& s, const Window& window, bool relu, Index channel,
                           float* y, std::uint8_t* from) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const Index lanes = s.channels - channel, taps_x = kSide > 0 ? kSide : s.taps_x;
  const Taps rows = kSide > 0 ? Taps{0, kSide} : window.rows;
  const Taps columns = kSide > 0 ? Taps{0, kSide} : window.columns;
  const auto number = [&](Index i, Index j) HWY_ATTR {
    return hn::Set(di, static_cast<std::int32_t>(i * taps_x + j));
  };
  auto best = hn::Set(d, relu ? 0.0F : -std::numeric_limits<float>::infinity());
  auto position = relu ? hn::Set(di, kNoPixel) : number(rows.begin, columns.begin);
#pragma GCC unroll 3
  for (Index i = rows.begin; i < rows.end; ++i)
#pragma GCC unroll 3
    for (Index j = columns.begin; j < columns.end; ++j) {
      const Index pixel =
          kSide > 0 ? i * s.width + j : i * s.dilation_y * s.width + j * s.dilation_x;
      const Vector value = load<kPart>(window.x + pixel * s.channels + channel, lanes);
      const auto larger = hn::Or(hn::Gt(value, best), hn::IsNaN(value));
      best = hn::IfThenElse(larger, value, best);
      position = hn::IfThenElse(hn::RebindMask(di, larger), number(i, j), position);
    }
  store<kPart>(best, y + channel, lanes);
  if (from != nullptr) store<kPart>(hn::DemoteTo(Bytes(), position), from + channel, lanes);
}

/// A row of the output and what it is made of; a window's own arguments count from its first one.
struct PooledRow {
  const float* x;  ///< where the first window begins, which may be outside
  Taps rows;
  bool relu;
  float* y;
  std::uint8_t* from;  ///< null: not wanted
};

/// The first windows of which every column is inside, and the end of those whose last channels may
/// take whole vectors: these reach into pixels of the row that are written later.
HWY_INLINE Taps inner_windows(const PoolShape& s) {
  const Index span = (s.taps_x - 1) * s.dilation_x + 1;
  const Index first = (s.pad_x + s.stride_x - 1) / s.stride_x;
  const Index inside = s.width + s.pad_x < span ? 0 : (s.width + s.pad_x - span) / s.stride_x + 1;
  const Index vectors = (s.channels + kLanes - 1) / kLanes;
  const Index reached = (vectors * kLanes + s.channels - 1) / s.channels;
  const Index end = std::min(inside, s.out_width) - (reached - 1);
  return {std::min(first, s.out_width), std::max(end, std::min(first, s.out_width))};
}

template <int kSide>
void pool_inner(const PoolShape& shape, const PooledRow& row, Taps windows) {
  const PoolShape s = shape;  // which no store to `from` changes, as the compiler sees
  const PooledRow r = row;
  for (Index q = windows.begin; q < windows.end; ++q) {
    const Window window{r.x + q * s.stride_x * s.channels, r.rows, {0, s.taps_x}};
    const Index out = q * s.channels;
    for (Index c = 0; c < s.channels; c += kLanes)
      pool_lanes<kSide, false>(s, window, r.relu, c, r.y + out, r.from ? r.from + out : nullptr);
  }
}

void pool_edge(const PoolShape& s, const PooledRow& r, Taps windows) {
  for (Index q = windows.begin; q < windows.end; ++q) {
    const Index left = q * s.stride_x - s.pad_x, out = q * s.channels;
    const Window window{r.x + q * s.stride_x * s.channels, r.rows,
                        taps_inside(left, s.width, s.taps_x, s.dilation_x)};
    float* const y = r.y + out;
    std::uint8_t* const from = r.from ? r.from + out : nullptr;
    Index c = 0;
    for (; c + kLanes <= s.channels; c += kLanes)
      pool_lanes<0, false>(s, window, r.relu, c, y, from);
    if (c < s.channels) pool_lanes<0, true>(s, window, r.relu, c, y, from);
  }
}

/// The windows of output row `row` of all images.
void pool_row(const PoolShape& s, const float* x, bool relu, float* y, std::uint8_t* from,
              Index row) {
  const Index top = row % s.out_height * s.stride_y - s.pad_y;
  const Index origin = (row / s.out_height * s.height + top) * s.width - s.pad_x;
  const Index out = row * s.out_width * s.channels;
  const PooledRow pooled{x + origin * s.channels,
                         taps_inside(top, s.height, s.taps_y, s.dilation_y), relu, y + out,
                         from ? from + out : nullptr};
  const Taps inner = inner_windows(s);
  pool_edge(s, pooled, {0, inner.begin});
  const bool square = s.taps_y == s.taps_x && s.dilation_y == 1 && s.dilation_x == 1 &&
                      pooled.rows.end - pooled.rows.begin == s.taps_y;
  if (square && s.taps_x == 2)
    pool_inner<2>(s, pooled, inner);
  else if (square && s.taps_x == 3)
    pool_inner<3>(s, pooled, inner);
  else
    pool_inner<0>(s, pooled, inner);
  pool_edge(s, pooled, {inner.end, s.out_width});
}

/// An output row's windows, which do not overlap, over a row of dx.
struct ScatteredRow {
  const float* dy;
  const std::uint8_t* from;
  Index size;      ///< elements of dy up to its end
  Index position;  ///< of a window's first tap in the row of dx
  float* dx;
};

/// `kInner`: one of inner_windows(), whose vectors are whole.
template <bool kInner>
HWY_INLINE void scatter_window(const PoolShape& s, const ScatteredRow& r, Index q) {
  const hn::RebindToSigned<Floats> di;
  const Index left = q * s.stride_x - s.pad_x, row_end = s.width * s.channels;
  const Index begin = kInner ? left : std::max<Index>(left, 0);
  const Index end = kInner ? left + s.taps_x : std::min(left + s.taps_x, s.width);
  for (Index c = 0; c < s.channels; c += kLanes) {
    const Index out = q * s.channels + c, rest = s.channels - c;
    const bool whole = kInner || r.size - out >= kLanes;
    const Vector dy = whole ? load<false>(r.dy + out, rest) : load<true>(r.dy + out, rest);
    const auto from =
        hn::PromoteTo(di, whole ? load<false>(r.from + out, rest) : load<true>(r.from + out, rest));
    auto tap = hn::Set(di, static_cast<std::int32_t>(r.position + begin - left));
    for (Index x = begin; x < end; ++x, tap = hn::Add(tap, hn::Set(di, 1))) {
      const Index to = x * s.channels + c;
      const auto taken = hn::RebindMask(Floats(), hn::Eq(from, tap));
      const bool room = kInner || (c == 0 && to + kLanes <= row_end);
      store_lanes(hn::IfThenElseZero(taken, dy), r.dx + to, room ? kLanes : rest);
    }
  }
}

/// Pixels behind a window that no window holds.
HWY_INLINE void clear_gap(const PoolShape& s, const ScatteredRow& r, Index q) {
  const Index left = q * s.stride_x - s.pad_x, begin = left + s.taps_x;
  const Index end = q + 1 < s.out_width ? left + s.stride_x : s.width;
  if (begin < end) std::fill_n(r.dx + begin * s.channels, (end - begin) * s.channels, 0.0F);
}

void scatter_into(const PoolShape& shape, const ScatteredRow& row) {
  const PoolShape s = shape;
  const ScatteredRow r = row;
  Taps inner = inner_windows(s);
  if (s.channels > kLanes && s.channels % kLanes != 0)  // the next pixel would be written too late
    inner.end = inner.begin;
  for (Index q = 0; q < s.out_width; ++q) {
    q >= inner.begin&& q < inner.end ? scatter_window<true>(s, r, q)
                                     : scatter_window<false>(s, r, q);
    clear_gap(s, r, q);
  }
}

/// The rows of dx from the first one of output row `row` of all images up to the next one's.
void scatter_row(const PoolShape& s, const float* dy, const std::uint8_t* from, Index row,
                 float* dx) {
  const Index image = row / s.out_height, p = row % s.out_height;
  const Index top = p * s.stride_y - s.pad_y;
  const Index end = p + 1 < s.out_height ? top + s.stride_y : s.height;
  const Index first = row * s.out_width * s.channels, row_floats = s.width * s.channels;
  const Index size = s.n * s.out_height * s.out_width * s.channels - first;
  for (Index y = std::max<Index>(top, 0); y < end; ++y) {
    float* const out = dx + (image * s.height + y) * row_floats;
    if (y - top < s.taps_y)
      scatter_into(s, {dy + first, from + first, size, (y - top) * s.taps_x, out});
    else
      std::fill_n(out, row_floats, 0.0F);
  }
}

/// Of one image: dy and from, and the elements behind them up to the end of the batch.
struct Outputs {
  const float* dy;
  const std::uint8_t* from;
  Index size;
};

template <bool kPart>
HWY_INLINE void collect_lanes(const PoolShape& s, const Outputs& outputs, const Holders& rows,
                              Index y, const Holders& columns, Index x, Index channel, float* dx) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const Index lanes = s.channels - channel;
  Vector sum = hn::Zero(d);
  for (Index i = rows.first[y]; i < rows.first[y + 1]; ++i)
    for (Index j = columns.first[x]; j < columns.first[x + 1]; ++j) {
      const Index out = (rows.out[i] * s.out_width + columns.out[j]) * s.channels + channel;
      const auto position =
          hn::Set(di, static_cast<std::int32_t>(rows.tap[i] * s.taps_x + columns.tap[j]));
      const auto taken =
          hn::Eq(hn::PromoteTo(di, load<kPart>(outputs.from + out, lanes)), position);
      sum = hn::Add(
          sum, hn::IfThenElseZero(hn::RebindMask(d, taken), load<kPart>(outputs.dy + out, lanes)));
    }
  store<kPart>(sum, dx + channel, lanes);
}

/// The elements of an image's outputs that its windows over a pixel reach, the last one counted
/// from channel 0; the first holder is the furthest.
HWY_INLINE Index reach(const PoolShape& s, const Holders& rows, Index y, const Holders& columns,
                       Index x) {
  const Index i = rows.first[y], j = columns.first[x];
  if (i == rows.first[y + 1] || j == columns.first[x + 1]) return 0;
  return (rows.out[i] * s.out_width + columns.out[j]) * s.channels;
}

/// Input row `row` of all images: each pixel collects from the windows that hold it. The last
/// channels take a whole vector where it reaches only into pixels that this row writes later.
void collect_row(const PoolShape& s, const float* dy, const std::uint8_t* from, const Holders& rows,
                 const Holders& columns, Index row, float* dx) {
  const Index image_size = s.out_height * s.out_width * s.channels;
  const Index image = row / s.height, y = row % s.height;
  const Outputs outputs{dy + image * image_size, from + image * image_size,
                        (s.n - image) * image_size};
  const float* const row_end = dx + (row + 1) * s.width * s.channels;
  for (Index x = 0; x < s.width; ++x) {
    float* const out = dx + (row * s.width + x) * s.channels;
    Index c = 0;
    for (; c + kLanes <= s.channels; c += kLanes)
      collect_lanes<false>(s, outputs, rows, y, columns, x, c, out);
    if (c == s.channels) continue;
    const bool whole =
        row_end - out >= c + kLanes && reach(s, rows, y, columns, x) + c + kLanes <= outputs.size;
    whole ? collect_lanes<false>(s, outputs, rows, y, columns, x, c, out)
          : collect_lanes<true>(s, outputs, rows, y, columns, x, c, out);
  }
}

}  // namespace
}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::kernels {
namespace {

HWY_EXPORT(pool_row);
HWY_EXPORT(collect_row);
HWY_EXPORT(scatter_row);

/// Windows of neighbouring pixels, none of them in two windows.
bool are_apart(const PoolShape& s) {
  return s.dilation_y == 1 && s.dilation_x == 1 && s.taps_y <= s.stride_y && s.taps_x <= s.stride_x;
}

}  // namespace

void max_pool_cpu(const PoolShape& shape, const float* x, bool relu, float* y, std::uint8_t* from) {
#pragma omp parallel for schedule(static)
  for (std::int64_t row = 0; row < shape.n * shape.out_height; ++row)
    HWY_DYNAMIC_DISPATCH(pool_row)(shape, x, relu, y, from, row);
}

void max_pool_gradient_cpu(const PoolShape& s, const float* dy, const std::uint8_t* from,
                           float* dx) {
  if (are_apart(s)) {
#pragma omp parallel for schedule(static)
    for (std::int64_t row = 0; row < s.n * s.out_height; ++row)
      HWY_DYNAMIC_DISPATCH(scatter_row)(s, dy, from, row, dx);
    return;
  }
  const Holders rows(s.height, s.pad_y, s.taps_y, s.stride_y, s.dilation_y, s.out_height);
  const Holders columns(s.width, s.pad_x, s.taps_x, s.stride_x, s.dilation_x, s.out_width);
#pragma omp parallel for schedule(static)
  for (std::int64_t row = 0; row < s.n * s.height; ++row)
    HWY_DYNAMIC_DISPATCH(collect_row)(s, dy, from, rows, columns, row, dx);
}

}  // namespace millrace::kernels
#endif
