#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "kernels/convolution/direct_rows.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/convolution/direct_planes.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/convolution/direct_rows-inl.h"
#include "kernels/convolution/finish-inl.h"
#include "kernels/matrix/sizes.hpp"
#include "kernels/matrix/tile-inl.h"
#include "kernels/matrix/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {
namespace {

using Index = std::int64_t;

#if HWY_TARGET == HWY_SCALAR  // pixels fill a vector of one float no better than filters do
const DirectParts* find_planes(const DirectShape&, Index) { return nullptr; }
#else

/// A vector of neighbouring pixels in a row of the output.
struct Spot {
  const float* x;  ///< its first window, in the padded image's first channel
  Index y;         ///< where its first pixel lies in the output
  Index count;     ///< pixels, at most the lanes
  Range taps;      ///< rows of the filter that meet the image
};

/// What both ranges span.
Range joined(Range a, Range b) {
  if (a.empty() || b.empty()) return a.empty() ? b : a;
  return {std::min(a.begin, b.begin), std::max(a.end, b.end)};
}

constexpr int kMostVectors = 8;
constexpr Index kMostPlaces = 8;         // enough for a team; fewer read dy less often
constexpr Index kChunkFloats = 6 << 10;  // of dy at a time: most of a first-level cache

/// Vectors of neighbouring pixels: step i reads vector v at x[v] + offsets[i].
struct Pixels {
  std::array<const float*, kMostVectors> x;
  const Index* offsets;
};

/// sums[v][f] += sum over i < steps of the pixels of vector v * b[i][f], which is one float for all
/// lanes, or (kFactor = kLanes) a vector.
template <int kVectors, int kFilters, int kFactor>
HWY_NOINLINE void multiply_vectors(const Pixels& pixels, const float* HWY_RESTRICT b, Index steps,
                                   float* HWY_RESTRICT sums) {
  const Floats d;
  Vector sum[kVectors][kFilters];
#pragma GCC unroll 32
  for (int v = 0; v < kVectors; ++v)
    for (int f = 0; f < kFilters; ++f) sum[v][f] = hn::Zero(d);
  for (Index i = 0; i < steps; ++i, b += kFilters * kFactor) {
    Vector x[kVectors];
#pragma GCC unroll 32
    for (int v = 0; v < kVectors; ++v)
      x[v] = hn::LoadU(d, pixels.x[static_cast<std::size_t>(v)] + pixels.offsets[i]);
#pragma GCC unroll 32
    for (int f = 0; f < kFilters; ++f) {
      const Vector factor = kFactor == 1 ? hn::Set(d, b[f]) : hn::LoadU(d, b + f * kFactor);
      for (int v = 0; v < kVectors; ++v) sum[v][f] = hn::MulAdd(x[v], factor, sum[v][f]);
    }
  }
#pragma GCC unroll 32
  for (int v = 0; v < kVectors; ++v)
    for (int f = 0; f < kFilters; ++f, sums += kLanes)
      hn::StoreU(hn::Add(sum[v][f], hn::LoadU(d, sums)), d, sums);
}

/// By number of vectors, from 1 on.
template <int kFilters, int kFactor, std::size_t... kIndex>
constexpr auto by_vectors(std::index_sequence<kIndex...>) {
  return std::array{&multiply_vectors<static_cast<int>(kIndex) + 1, kFilters, kFactor>...};
}

Index columns_of(const DirectShape& s) { return s.packed_width / kLanes; }

/// Where the windows of row `row` of a block's output begin in its padded images.
Index offset_of(const DirectShape& s, Index row) {
  return row / s.out_height * s.image_floats() + row % s.out_height * s.stride_y * s.row_floats();
}

/// Of the rows in `range`; rows of several images that meet the same rows of the filter together.
std::vector<Spot> spots_of(const DirectShape& s, const float* padded, RowRange range) {
  std::vector<Spot> spots;
  spots.reserve(static_cast<std::size_t>((range.end - range.begin) * columns_of(s)));
  const Index dilation = s.runs[0].stride / s.row_floats(), taps = s.inner() / s.runs[0].length;
  const Index rows = std::min(range.end - range.begin, s.out_height);
  for (Index first = range.begin; first < range.begin + rows; ++first) {
    const Index top = first % s.out_height * s.stride_y;
    const Range inside = rows_inside(s, top, dilation, taps);
    for (Index row = first; row < range.end; row += s.out_height)
      for (Index column = 0; column < s.out_width; column += kLanes)
        spots.push_back(
            {padded + row / s.out_height * s.image_floats() + top * s.row_floats() + column,
             ((range.first + row) * s.out_width + column) * s.filters,
             std::min<Index>(kLanes, s.out_width - column), inside});
  }
  return spots;
}

/// For groups of kFilters filters; accumulators are vectors x filters.
template <int kFilters>
struct Planes {
  static constexpr int kVectors = std::min(2 * kTileRows / kFilters, kMostVectors);
  static constexpr auto kForward =
      by_vectors<kFilters, 1>(std::make_index_sequence<std::size_t{kVectors}>());
  static constexpr auto kGradient =
      by_vectors<kFilters, kLanes>(std::make_index_sequence<std::size_t{kVectors}>());

  using Sums = float[kVectors][kFilters][kLanes];

  /// Adds to sums; of the rows of the filter, those that any of the spots meets.
  static void multiply_spots(const DirectShape& s, const Spot* spots, int count, Index channel,
                             const float* weights, Sums& sums) {
    Pixels pixels{};
    Range inside = spots[0].taps;
    for (int v = 0; v < count; ++v) {
      pixels.x[static_cast<std::size_t>(v)] = spots[v].x + channel * s.step_channel;
      inside = joined(inside, spots[v].taps);
    }
    Index tap = 0;
    for (const Runs& run : s.runs) {
      const Index begin = std::max(inside.begin, tap), end = std::min(inside.end, tap + run.count);
      tap += run.count;
      if (begin >= end) continue;
      pixels.offsets = s.offsets.data() + begin * run.length;
      kForward[static_cast<std::size_t>(count) - 1](pixels, weights + begin * run.length * kFilters,
                                                    (end - begin) * run.length, sums[0][0]);
    }
  }

  /// One vector of pixels: from sums [filter][pixel] to [pixel][filter] and up to three floats.
  static void turn(const float (&sums)[kFilters][kLanes], float* pixels) {
    const Floats d;
    float quads[(kFilters + 3) / 4][4][kLanes];  // of filters, of pixels 4 i + j at [j][4 i]
    for (int f = 0; f < kFilters; f += 4) {
      const auto filter = [&](int i) HWY_ATTR {
        return hn::LoadU(d, sums[std::min(f + i, kFilters - 1)]);
      };
      const Quad<Vector> quad = transposed(d, filter(0), filter(1), filter(2), filter(3));
      for (int j = 0; j < 4; ++j) hn::StoreU(quad.at[j], d, quads[f / 4][j]);
    }
    for (int pixel = 0; pixel < kLanes; ++pixel, pixels += kFilters)
      for (int f = 0; f < kFilters; f += 4)
        std::copy_n(quads[f / 4][pixel % 4] + pixel / 4 * 4, 4, pixels + f);
  }

  /// `count` pixels [pixel][filter], finished but for the bias, to filters `filter` … of the pixels
  /// at y[at]; kLanes floats may be read behind them.
  static void store(const DirectShape& s, const float* pixels, Index count, const Finish& finish,
                    Index filter, float* y, Index at) {
    // Without groups the pixels follow each other, so that vectors of them may be whole.
    const bool whole = s.groups == 1;
    const Index floats = count * kFilters, step = whole ? kLanes : kFilters;
    for (Index i = 0; i < floats; i += step) {
      const Index lanes = std::min(step, floats - i);
      const Index to = at + (whole ? i : i / kFilters * s.filters);
      const FinishLanes finished({nullptr, finish.relu, finish.relu_output}, filter, lanes);
      store_lanes(finished(hn::LoadU(Floats(), pixels + i), to), y + to + filter, lanes);
    }
  }

  static void forward_spots(const DirectShape& s, const Spot* spots, int count, Index group,
                            const float* weights, const Finish& finish, float* y) {
    const Index filter = group * kFilters;
    Sums sums;
    float pixels[kVectors][kLanes * kFilters + kLanes];
    for (int v = 0; v < count; ++v)
      for (int f = 0; f < kFilters; ++f)
        std::fill_n(sums[v][f], kLanes, finish.bias ? finish.bias[filter + f] : 0.0F);
    multiply_spots(s, spots, count, group * s.group_channels(),
                   weights + group * s.inner() * kFilters, sums);
    for (int v = 0; v < count; ++v) turn(sums[v], pixels[v]);
    for (int v = 0; v < count; ++v)
      store(s, pixels[v], spots[v].count, finish, filter, y, spots[v].y);
  }

  static void forward_rows(const DirectShape& s, const float* padded, const float* weights,
                           const Finish& finish, float* y, RowRange range, float*) {
    const std::vector<Spot> spots = spots_of(s, padded, range);
    for (Index group = 0; group < s.groups; ++group)
      for_each_group<kVectors>(
          static_cast<Index>(spots.size()), [&](Index begin, int count) HWY_ATTR {
            forward_spots(s, spots.data() + begin, count, group, weights, finish, y);
          });
  }

  static void pack_gradients(const DirectShape& s, const float* dy, Index rows, Index begin,
                             Index end, float* packed) {
    const Index columns = columns_of(s);
    for (Index group = 0; group < s.groups; ++group)
      for (Index row = begin; row < end; ++row)
        for (Index column = 0; column < columns; ++column) {
          const Index first = column * kLanes, count = std::min<Index>(s.out_width - first, kLanes);
          float* to = packed + ((group * rows + row) * columns + column) * kFilters * kLanes;
          if (count < kLanes) std::fill_n(to, kFilters * kLanes, 0.0F);
          transpose_matrix(dy + (row * s.out_width + first) * s.filters + group * kFilters,
                           s.filters, count, kFilters, to, kLanes);
        }
  }

  static Index places(const DirectShape& s) {
    return std::min<Index>(ceil_div(s.inner(), kVectors), kMostPlaces);
  }

  /// Whole images, where one is small enough, or rows of one, whose packed gradients are few
  /// enough.
  static Index rows_at_once(const DirectShape& s) {
    const Index most = std::max<Index>(kChunkFloats / (s.packed_width * kFilters), 1);
    return most < s.out_height ? most : most / s.out_height * s.out_height;
  }

  static void add_weight_gradients(const DirectShape& s, const float* padded, const float* packed,
                                   Index images, const GradientPlace& place, bool first,
                                   float* dw) {
    const Index begin = place.index * s.inner() / places(s), rows = images * s.out_height;
    const Index count = (place.index + 1) * s.inner() / places(s) - begin;
    const Index at_once = rows_at_once(s);
    std::vector<Index> steps;
    for (Index row = 0; row < std::min(at_once, rows); ++row)
      for (Index column = 0; column < s.packed_width; column += kLanes)
        steps.push_back(offset_of(s, row) + column);
    std::vector<float> sums(static_cast<std::size_t>(count * kFilters * kLanes));
    const float* const group = padded + place.panel * s.group_channels() * s.step_channel;
    for (Index row = 0, some = 0; row < rows; row += some) {
      const Index whole = at_once < s.out_height ? s.out_height - row % s.out_height : rows - row;
      some = std::min(at_once, whole);
      const float* const image = group + offset_of(s, row);
      const float* const dy = packed + (place.panel * rows + row) * s.packed_width * kFilters;
      for_each_group<kVectors>(count, [&](Index tap, int vectors) HWY_ATTR {
        Pixels pixels{{}, steps.data()};
        for (int v = 0; v < vectors; ++v)
          pixels.x[static_cast<std::size_t>(v)] =
              image + s.offsets[static_cast<std::size_t>(begin + tap + v)];
        kGradient[static_cast<std::size_t>(vectors) - 1](pixels, dy, some * columns_of(s),
                                                         sums.data() + tap * kFilters * kLanes);
      });
    }
    float* const c = dw + (place.panel * s.inner() + begin) * kFilters;
    for (Index i = 0; i < count * kFilters; ++i)
      c[i] = (first ? 0.0F : c[i]) +
             hn::GetLane(hn::SumOfLanes(Floats(), hn::LoadU(Floats(), sums.data() + i * kLanes)));
  }

  static void sum_gradients(const DirectShape& s, const float* packed, float* sums) {
    float lanes[kFilters * kLanes];
    sum_vectors<kFilters>(packed, s.out_height * columns_of(s), lanes);
    for (int f = 0; f < kFilters; ++f)
      sums[f] = hn::GetLane(hn::SumOfLanes(Floats(), hn::LoadU(Floats(), lanes + f * kLanes)));
  }

  static const DirectParts* parts() {
    static const DirectParts all = {kFilters,       kLanes, forward_rows,
                                    pack_gradients, places, add_weight_gradients,
                                    sum_gradients};
    return &all;
  }
};

template <std::size_t... kIndex>
constexpr auto by_filters(std::index_sequence<kIndex...>) {
  return std::array{&Planes<static_cast<int>(kIndex) + 1>::parts...};
}

const DirectParts* find_planes(const DirectShape& s, Index taps) {
  static constexpr auto kParts = by_filters(std::make_index_sequence<std::size_t{kLanes / 2}>());
  const Index filters = s.group_filters();
  if (2 * filters > kLanes || s.stride_x > 1) return nullptr;
  // Of a row of the output, for each channel: products of vectors, and what its plane costs.
  const Index products = taps * filters * ceil_div(s.out_width, kLanes);
  const Index copies = s.channels > 1 ? s.out_width : 0;
  const bool pays = 3 * (products + copies) <= 2 * taps * s.out_width;
  return pays ? kParts[static_cast<std::size_t>(filters) - 1]() : nullptr;
}

#endif  // HWY_SCALAR

}  // namespace
}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::kernels {
HWY_EXPORT(find_planes);
HWY_EXPORT(transpose_matrix);

const DirectParts* direct_planes(const DirectShape& shape, std::int64_t taps) {
  return HWY_DYNAMIC_DISPATCH(find_planes)(shape, taps);
}

void transpose(const float* in, std::int64_t in_row, std::int64_t rows, std::int64_t columns,
               float* out, std::int64_t out_row) {
  HWY_DYNAMIC_DISPATCH(transpose_matrix)(in, in_row, rows, columns, out, out_row);
}

}  // namespace millrace::kernels
#endif
