#include <algorithm>

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

template <bool kPart>
HWY_INLINE void pool_lanes(const PoolShape& s, const Window& window, bool relu, Index channel,
                           float* y, std::uint8_t* from) {
  const Floats d;
  const hn::RebindToSigned<Floats> di;
  const Index lanes = s.channels - channel;
  auto best = hn::Zero(d);
  auto position = hn::Set(di, kNoPixel);
  bool first = !relu;
  for (Index i = window.rows.begin; i < window.rows.end; ++i)
    for (Index j = window.columns.begin; j < window.columns.end; ++j) {
      const Index pixel = i * s.dilation_y * s.width + j * s.dilation_x;
      const Vector value = load<kPart>(window.x + pixel * s.channels + channel, lanes);
      const auto here = hn::Set(di, static_cast<std::int32_t>(i * s.taps_x + j));
      if (first) {
        best = value;
        position = here;
      } else {
        const auto larger = hn::Or(hn::Gt(value, best), hn::IsNaN(value));
        best = hn::IfThenElse(larger, value, best);
        position = hn::IfThenElse(hn::RebindMask(di, larger), here, position);
      }
      first = false;
    }
  store<kPart>(best, y + channel, lanes);
  if (from != nullptr) store<kPart>(hn::DemoteTo(Bytes(), position), from + channel, lanes);
}

/// The windows of output row `row` of all images. The last channels of a pixel take a whole vector
/// where it reaches only into pixels that this row writes later.
void pool_row(const PoolShape& s, const float* x, bool relu, float* y, std::uint8_t* from,
              Index row) {
  const Index top = row % s.out_height * s.stride_y - s.pad_y;
  const Taps rows = taps_inside(top, s.height, s.taps_y, s.dilation_y);
  const Index origin = row / s.out_height * s.height + top;
  const float* const x_end = x + s.n * s.height * s.width * s.channels;
  const Index row_end = (row + 1) * s.out_width * s.channels;
  for (Index q = 0; q < s.out_width; ++q) {
    const Index left = q * s.stride_x - s.pad_x;
    const Window window{x + (origin * s.width + left) * s.channels, rows,
                        taps_inside(left, s.width, s.taps_x, s.dilation_x)};
    const Index out = (row * s.out_width + q) * s.channels;
    std::uint8_t* const out_from = from ? from + out : nullptr;
    Index c = 0;
    for (; c + kLanes <= s.channels; c += kLanes)
      pool_lanes<false>(s, window, relu, c, y + out, out_from);
    if (c == s.channels) continue;
    const Index last =
        (rows.end - 1) * s.dilation_y * s.width + (window.columns.end - 1) * s.dilation_x;
    const bool whole =
        out + c + kLanes <= row_end && x_end - window.x >= last * s.channels + c + kLanes;
    whole ? pool_lanes<false>(s, window, relu, c, y + out, out_from)
          : pool_lanes<true>(s, window, relu, c, y + out, out_from);
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

/// Input row `row` of all images: each pixel collects from the windows that hold it. Whole vectors
/// as in pool_row.
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

}  // namespace

void max_pool_cpu(const PoolShape& shape, const float* x, bool relu, float* y, std::uint8_t* from) {
#pragma omp parallel for schedule(static)
  for (std::int64_t row = 0; row < shape.n * shape.out_height; ++row)
    HWY_DYNAMIC_DISPATCH(pool_row)(shape, x, relu, y, from, row);
}

void max_pool_gradient_cpu(const PoolShape& s, const float* dy, const std::uint8_t* from,
                           float* dx) {
  const Holders rows(s.height, s.pad_y, s.taps_y, s.stride_y, s.dilation_y, s.out_height);
  const Holders columns(s.width, s.pad_x, s.taps_x, s.stride_x, s.dilation_x, s.out_width);
#pragma omp parallel for schedule(static)
  for (std::int64_t row = 0; row < s.n * s.height; ++row)
    HWY_DYNAMIC_DISPATCH(collect_row)(s, dy, from, rows, columns, row, dx);
}

}  // namespace millrace::kernels
#endif
