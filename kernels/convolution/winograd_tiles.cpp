#include "kernels/convolution/winograd_tiles.hpp"

#include <algorithm>

#include "kernels/convolution/toom_cook.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/convolution/winograd_tiles.cpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/convolution/finish-inl.h"
#include "kernels/convolution/winograd_products-inl.h"
#include "kernels/matrix/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {
namespace {

using Index = std::int64_t;

/// sum_j kMatrix.at[row][j] * in[j], without the zeros.
template <auto kMatrix>
HWY_INLINE Vector row_product(int row, const Vector* in) {
  const Floats d;
  Vector sum = hn::Zero(d);
  bool first = true;
#pragma GCC unroll 8
  for (int j = 0; j < kMatrix.columns; ++j) {
    const auto factor = static_cast<float>(kMatrix.at[row][j]);
    if (factor == 0) continue;
    if (first) {
      sum = factor == 1 ? in[j] : hn::Mul(hn::Set(d, factor), in[j]);
    } else if (factor == 1) {
      sum = hn::Add(sum, in[j]);
    } else if (factor == -1) {
      sum = hn::Sub(sum, in[j]);
    } else {
      sum = hn::MulAdd(hn::Set(d, factor), in[j], sum);
    }
    first = false;
  }
  return sum;
}

/// M in M^T, element (i, j) of `in` by in(i, j), of the result to out(i, j, value).
template <auto kMatrix, typename In, typename Out>
HWY_INLINE void sandwich(const In& in, const Out& out) {
  constexpr int kRows = kMatrix.rows, kColumns = kMatrix.columns;
  Vector half[kRows][kColumns];
  for (int j = 0; j < kColumns; ++j) {
    Vector column[kColumns];
#pragma GCC unroll 8
    for (int i = 0; i < kColumns; ++i) column[i] = in(i, j);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) half[i][j] = row_product<kMatrix>(i, column);
  }
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kRows; ++j) out(i, j, row_product<kMatrix>(j, half[i]));
  }
}

/// A tile of an image: pixel (0, 0) may lie outside; [y0, y1) x [x0, x1) lie inside.
struct TilePlace {
  Index offset, row;  ///< of element (0, 0), in floats; between rows
  Index y0, y1, x0, x1;
};

HWY_INLINE TilePlace place_of(const TileGrid& grid, Index tile, Index size) {
  const Index tx = tile % grid.tiles_x, ty = tile / grid.tiles_x % grid.tiles_y;
  const Index n = tile / grid.tiles_x / grid.tiles_y;
  const Index y = ty * grid.step + grid.origin_y, x = tx * grid.step + grid.origin_x;
  const auto inside = [size](Index from, Index length) {
    return std::clamp<Index>(length - from, 0, size);
  };
  return {((n * grid.height + y) * grid.width + x) * grid.pixel,
          grid.width * grid.pixel,
          std::clamp<Index>(-y, 0, size),
          inside(y, grid.height),
          std::clamp<Index>(-x, 0, size),
          inside(x, grid.width)};
}

struct PixelLoader {
  const float* image;
  TilePlace place;
  Index pixel, lanes;
  HWY_INLINE Vector operator()(Index i, Index j) const {
    if (i < place.y0 || i >= place.y1 || j < place.x0 || j >= place.x1) return hn::Zero(Floats());
    return load_lanes(image + place.offset + i * place.row + j * pixel, lanes);
  }
};

struct PixelStorer {
  float* image;
  TilePlace place;
  Index pixel, lanes;
  FinishLanes finish;
  HWY_INLINE void operator()(Index i, Index j, Vector value) const {
    if (i >= place.y1 || j >= place.x1) return;
    const Index at = place.offset + i * place.row + j * pixel;
    store_lanes(finish(value, at), image + at, lanes);
  }
};

/// Element (i, j) of all points, one vector of a row of a panel.
struct PointLoader {
  const float* first;
  Index stride;
  int width;  ///< points in a row
  HWY_INLINE Vector operator()(Index i, Index j) const {
    return hn::LoadU(Floats(), first + (i * width + j) * stride);
  }
};

struct PointStorer {
  float* first;
  Index stride;
  int width;
  HWY_INLINE void operator()(Index i, Index j, Vector value) const {
    hn::StoreU(value, Floats(), first + (i * width + j) * stride);
  }
};

/// As operands of products whose inner dimension is what lies along a row (channels), or the rows
/// (tiles, channels): row `row` of matrices that begin at `first`, one vector of a panel.
template <typename Products>
struct AlongStorer {
  float* first;
  Index stride, lane;
  int width;
  HWY_INLINE AlongStorer(const PointMatrices& to, Index panel, Index half, Index row, int points)
      : first(to.at(0, panel) + row * kPanel / Products::kPerUnit),
        stride(to.point_stride()),
        lane(half * kLanes),
        width(points) {}
  HWY_INLINE void operator()(Index i, Index j, Vector value) const {
    Products::store_along(value, first + (i * width + j) * stride, lane);
  }
};

template <typename Products, bool kStreams = false>
struct AcrossStorer {
  float* first;
  Index stride, row;
  int width;
  HWY_INLINE AcrossStorer(const PointMatrices& to, Index panel, Index half, Index at_row,
                          int points)
      : first(to.at(0, panel) + at_row / Products::kPerUnit * kPanel + half * kLanes),
        stride(to.point_stride()),
        row(at_row),
        width(points) {}
  HWY_INLINE void operator()(Index i, Index j, Vector value) const {
    float* const to = first + (i * width + j) * stride;
    if constexpr (kStreams) {
      Products::stream_across(value, row, to);
    } else {
      Products::store_across(value, row, to);
    }
  }
};

template <auto kMatrix, typename Storer>
void gather(const TileGrid& grid, const float* image, TileRange range, const PointMatrices& to) {
  for (Index t = range.begin; t < range.end; ++t) {
    TilePlace place = place_of(grid, range.first + t, kMatrix.columns);
    for (Index panel = 0; panel < to.panels(); ++panel)
      for (Index half = 0; half < 2; ++half) {
        const Index channel = panel * kPanel + half * kLanes;
        sandwich<kMatrix>(PixelLoader{image + channel, place, grid.pixel, grid.channels - channel},
                          Storer(to, panel, half, t, kMatrix.rows));
      }
  }
}

template <auto kMatrix>
void scatter(const TileGrid& grid, const PointMatrices& m, TileRange range, const Finish& finish,
             float* image) {
  for (Index t = range.begin; t < range.end; ++t) {
    const TilePlace place = place_of(grid, range.first + t, kMatrix.rows);
    for (Index channel = 0; channel < grid.channels; channel += kLanes) {
      const Index lanes = grid.channels - channel;
      sandwich<kMatrix>(PointLoader{m.at(0, channel / kPanel) + t * kPanel + channel % kPanel,
                                    m.point_stride(), kMatrix.columns},
                        PixelStorer{image + channel, place, grid.pixel, lanes,
                                    FinishLanes(finish, channel, lanes)});
    }
  }
}

/// Where the weights of a filter or a channel of the stride-1 view begin in w: the sum of both is
/// the place of tap (0, 0); (y, x) is that tap in w.
struct WeightPlace {
  Index base = 0, y = 0, x = 0;
};

HWY_INLINE WeightPlace place_of(const FilterLayout& w, bool filter, Index index) {
  const Index taps = w.taps_y * w.taps_x;
  if (filter) return {index * w.channels * taps, 0, 0};
  if (w.stride == 1) return {index * taps, 0, 0};
  const Index phase = index / w.channels;
  return {index % w.channels * taps, phase / w.stride, phase % w.stride};
}

/// The taps of one row of a panel: [tap][lane].
template <int kTaps>
class TapBuffer {
 public:
  HWY_INLINE TapBuffer(const FilterLayout& w, Index panel, Index columns)
      : w_(w), lanes_(std::min<Index>(kPanel, columns - panel * kPanel)) {
    for (Index lane = 0; lane < lanes_; ++lane)
      columns_[lane] = place_of(w, !w.for_input_gradient, panel * kPanel + lane);
  }

  /// Calls present(element, index in w) for every element that w has, absent(element) for others.
  template <typename Present, typename Absent>
  HWY_INLINE void for_each(Index row, const Present& present, const Absent& absent) {
    const WeightPlace at_row = place_of(w_, w_.for_input_gradient, row);
    if (w_.stride == 1) {  // the usual case, in which no tap is absent
      w_.for_input_gradient ? for_each_dense<true>(at_row.base, present)
                            : for_each_dense<false>(at_row.base, present);
      return;
    }
    for (Index lane = 0; lane < lanes_; ++lane) {
      const WeightPlace& column = columns_[lane];
      for_each_tap(
          column.y + at_row.y, column.x + at_row.x,
          [&](int tap, Index index) { present(at[tap][lane], column.base + at_row.base + index); },
          [&](int tap) { absent(at[tap][lane]); });
    }
  }

  float at[kTaps * kTaps][kPanel] = {};

 private:
  static constexpr int kCount = kTaps * kTaps;

  template <bool kTurned, typename Present>
  HWY_INLINE void for_each_dense(Index base, const Present& present) {
    for (Index lane = 0; lane < lanes_; ++lane) {
      const Index first = columns_[lane].base + base;
      for (int tap = 0; tap < kCount; ++tap)
        present(at[kTurned ? kCount - 1 - tap : tap][lane], first + tap);
    }
  }

  template <typename Present, typename Absent>
  HWY_INLINE void for_each_tap(Index y0, Index x0, const Present& present,
                               const Absent& absent) const {
    for (int i = 0; i < kTaps; ++i)
      for (int j = 0; j < kTaps; ++j) {
        const Index y = y0 + i * w_.stride, x = x0 + j * w_.stride;
        const int straight = i * kTaps + j;
        const int tap = w_.for_input_gradient ? kCount - 1 - straight : straight;
        if (y < w_.taps_y && x < w_.taps_x)
          present(tap, y * w_.taps_x + x);
        else
          absent(tap);
      }
  }

  const FilterLayout& w_;
  Index lanes_;
  WeightPlace columns_[kPanel];
};

/// More than this the second-level cache of a core hardly holds beside anything else.
constexpr Index kCachedBytes = 1 << 20;

template <auto kMatrix, typename Storer>
void transform_filters_by(const FilterLayout& layout, const float* w, Index begin, Index end,
                          const PointMatrices& u) {
  constexpr int kTaps = kMatrix.columns;
  for (Index panel = 0; panel < u.panels(); ++panel) {
    TapBuffer<kTaps> taps(layout, panel, u.channels);
    for (Index row = begin; row < end; ++row) {
      taps.for_each(
          row, [w](float& tap, Index index) { tap = w[index]; }, [](float& tap) { tap = 0; });
      for (Index half = 0; half < 2; ++half)
        sandwich<kMatrix>(PointLoader{&taps.at[0][half * kLanes], kPanel, kTaps},
                          Storer(u, panel, half, row, kMatrix.rows));
    }
  }
}

template <auto kMatrix, typename Products>
void transform_filters(const FilterLayout& layout, const float* w, Index begin, Index end,
                       const PointMatrices& u) {
  constexpr Index kPoints = kMatrix.rows * kMatrix.rows;
  const Index bytes = kPoints * u.point_stride() * static_cast<Index>(sizeof(float));
  if (bytes <= kCachedBytes)
    return transform_filters_by<kMatrix, AcrossStorer<Products>>(layout, w, begin, end, u);
  transform_filters_by<kMatrix, AcrossStorer<Products, true>>(layout, w, begin, end, u);
  hwy::FlushStream();  // the team's others read it
}

template <auto kMatrix>
void collect_filters(const FilterLayout& layout, const PointMatrices& du, Index begin, Index end,
                     bool add, float* dw) {
  constexpr int kTaps = kMatrix.rows;
  for (Index panel = 0; panel < du.panels(); ++panel) {
    TapBuffer<kTaps> taps(layout, panel, du.channels);
    for (Index row = begin; row < end; ++row) {
      for (Index half = 0; half < 2; ++half)
        sandwich<kMatrix>(PointLoader{du.at(0, panel) + row * kPanel + half * kLanes,
                                      du.point_stride(), kMatrix.columns},
                          PointStorer{&taps.at[0][half * kLanes], kPanel, kTaps});
      taps.for_each(
          row, [dw, add](float& tap, Index index) { dw[index] = add ? dw[index] + tap : tap; },
          [](float&) {});
    }
  }
}

template <int kOut, int kTaps, typename Products>
const WinogradParts* parts() {
  using Direct = ToomCook<kOut, kTaps>;
  using Transposed = ToomCook<kTaps, kOut>;  // dw: kTaps outputs of a filter of kOut taps, dy
  constexpr double kAtOne = Transposed::filter().at[1][0];  // of the point 1: all taps times this
  static const WinogradParts all = {kPanel,
                                    Products::kPerUnit,
                                    Direct::kPoints * Direct::kPoints,
                                    static_cast<float>(1 / (kAtOne * kAtOne)),
                                    gather<Direct::input(), AlongStorer<Products>>,
                                    gather<Direct::input(), AcrossStorer<Products>>,
                                    gather<Transposed::filter(), AcrossStorer<Products>>,
                                    scatter<Direct::output()>,
                                    transform_filters<Direct::filter(), Products>,
                                    collect_filters<Transposed::output()>,
                                    multiply<Products>,
                                    multiply_transposed<Products>};
  return &all;
}

template <typename Products>
const WinogradParts* parts_of(int out, int taps) {
  if (taps == 3)
    return out == 2   ? parts<2, 3, Products>()
           : out == 4 ? parts<4, 3, Products>()
           : out == 5 ? parts<5, 3, Products>()
                      : nullptr;
  if (taps == 5)
    return out == 2 ? parts<2, 5, Products>() : out == 3 ? parts<3, 5, Products>() : nullptr;
  return nullptr;
}

const WinogradParts* find_parts(int out, int taps, Precision precision) {
  return precision == Precision::bf16 ? parts_of<PairProducts>(out, taps)
                                      : parts_of<FloatProducts>(out, taps);
}

}  // namespace
}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::kernels {
HWY_EXPORT(find_parts);

const WinogradParts* winograd_parts(int out, int taps, Precision precision) {
  return HWY_DYNAMIC_DISPATCH(find_parts)(out, taps, precision);
}
}  // namespace millrace::kernels
#endif
