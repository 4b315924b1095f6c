#include "kernels/convolution/direct_rows.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/convolution/direct_rows.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/convolution/direct_rows-inl.h"
#include "kernels/convolution/finish-inl.h"
#include "kernels/matrix/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {
namespace {

using Index = std::int64_t;

/// For panels of kVectors vectors.
template <int kVectors>
struct Rows {
  static constexpr Index kWidth = kVectors * kLanes;

  static Index panels_of(const DirectShape& s) { return (s.group_filters() + kWidth - 1) / kWidth; }

  /// One row of one panel: row [out_width][kWidth] = weights * the pixels of the windows that begin
  /// at row `top` of the padded image.
  static void multiply_row(const DirectShape& s, const float* image, Index top,
                           const float* weights, float* row) {
    bool started = false;
    for (const Runs& run : s.runs) {
      const Range parts =
          rows_inside(s, top + run.image / s.row_floats(), run.stride / s.row_floats(), run.count);
      if (parts.empty()) continue;
      const float* b = weights + (run.weight + parts.begin * run.length) * kWidth;
      const float* first = image + top * s.row_floats() + run.image + parts.begin * run.stride;
      for_each_group<kRowsOf<kVectors>>(s.out_width, [&](Index begin, int rows) HWY_ATTR {
        const Operand a{first + begin * s.stride_x * s.channels, s.stride_x * s.channels, 1,
                        run.stride};
        multiply_rows<kVectors>(rows, a, b, parts.end - parts.begin, run.length,
                                row + begin * kWidth, kWidth, started);
      });
      started = true;
    }
    if (!started) std::fill_n(row, s.out_width * kWidth, 0.0F);
  }

  /// `lanes` of each panel-wide pixel to filters `filter` … of the channels-last pixels at `pixel`
  /// of y.
  static void store_row(const DirectShape& s, const float* row, Index filter, Index lanes,
                        const Finish& finish, float* y, Index pixel) {
    for (Index half = 0; half < kVectors && half * kLanes < lanes; ++half) {
      const Index from = half * kLanes, count = lanes - from, first = filter + from;
      const FinishLanes finished(finish, first, count);
      for (Index q = 0; q < s.out_width; ++q) {
        const Index at = (pixel + q) * s.filters;
        store_lanes(finished(hn::LoadU(Floats(), row + q * kWidth + from), at), y + at + first,
                    may_reach_later_pixels(s, finish, q) ? kLanes : count);
      }
    }
  }

  /// A whole vector at pixel `q` then writes nothing but what follows in the row and is written
  /// later (and not read before, as an output in the same place is); stores of a part are slow.
  static bool may_reach_later_pixels(const DirectShape& s, const Finish& finish, Index q) {
    return kVectors == 1 && s.groups == 1 && finish.relu_output == nullptr &&
           (s.out_width - q) * s.filters >= kLanes;
  }

  static void forward_rows(const DirectShape& s, const float* padded, const float* weights,
                           const Finish& finish, float* y, RowRange range, float* row) {
    const Index panels = panels_of(s);
    for (Index panel = 0; panel < s.groups * panels; ++panel) {
      const Index group = panel / panels, in_group = panel % panels * kWidth;
      for (Index out = range.begin; out < range.end; ++out) {
        const float* image = padded + out / s.out_height * s.image_floats();
        const Index top = out % s.out_height * s.stride_y;
        multiply_row(s, image + group * s.group_channels(), top,
                     weights + panel * s.inner() * kWidth, row);
        store_row(s, row, group * s.group_filters() + in_group,
                  std::min<Index>(kWidth, s.group_filters() - in_group), finish, y,
                  (range.first + out) * s.out_width);
      }
    }
  }

  static void pack_gradients(const DirectShape& s, const float* dy, Index rows, Index begin,
                             Index end, float* packed) {
    const Floats d;
    const Index panels = panels_of(s), pixels = rows * s.out_width;
    for (Index panel = 0; panel < s.groups * panels; ++panel) {
      const Index in_group = panel % panels * kWidth;
      const float* from = dy + panel / panels * s.group_filters() + in_group;
      for (Index pixel = begin * s.out_width; pixel < end * s.out_width; ++pixel)
        for (Index half = 0; half < kVectors; ++half) {
          const Index lanes = s.group_filters() - in_group - half * kLanes;
          hn::StoreU(load_lanes(from + pixel * s.filters + half * kLanes, lanes), d,
                     packed + (panel * pixels + pixel) * kWidth + half * kLanes);
        }
    }
  }

  /// Parts of all runs.
  static Index places(const DirectShape& s) {
    Index count = 0;
    for (const Runs& run : s.runs) count += run.count;
    return count;
  }

  static void add_weight_gradients(const DirectShape& s, const float* padded, const float* packed,
                                   Index images, const GradientPlace& place, bool first,
                                   float* dw) {
    Index part = place.index, which = 0;
    for (; part >= s.runs[static_cast<std::size_t>(which)].count; ++which)
      part -= s.runs[static_cast<std::size_t>(which)].count;
    const Runs& run = s.runs[static_cast<std::size_t>(which)];
    const Index offset = run.image + part * run.stride, pixels = s.out_height * s.out_width;
    const Range rows = rows_inside(s, offset / s.row_floats(), s.stride_y, s.out_height);
    float* const c = dw + (place.panel * s.inner() + run.weight + part * run.length) * kWidth;
    if (rows.empty() && first) std::fill_n(c, run.length * kWidth, 0.0F);
    if (rows.empty()) return;
    const float* image = padded + place.panel / panels_of(s) * s.group_channels() + offset +
                         rows.begin * s.stride_y * s.row_floats();
    const float* dy = packed + (place.panel * images * pixels + rows.begin * s.out_width) * kWidth;
    for (Index n = 0; n < images; ++n)
      for_each_group<kRowsOf<kVectors>>(run.length, [&](Index begin, int count) HWY_ATTR {
        const Operand a{image + n * s.image_floats() + begin, 1, s.stride_x * s.channels,
                        s.stride_y * s.row_floats()};
        multiply_rows<kVectors>(count, a, dy + n * pixels * kWidth, rows.end - rows.begin,
                                s.out_width, c + begin * kWidth, kWidth, !first || n > 0);
      });
  }

  static void sum_gradients(const DirectShape& s, const float* packed, float* sums) {
    sum_vectors<kVectors>(packed, s.out_height * s.out_width, sums);
  }

  static const DirectParts* parts() {
    static const DirectParts all = {
        kWidth, 1, forward_rows, pack_gradients, places, add_weight_gradients, sum_gradients};
    return &all;
  }
};

const DirectParts* find_rows(Index filters) {
  return filters <= kLanes ? Rows<1>::parts() : Rows<2>::parts();
}

}  // namespace
}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::kernels {
HWY_EXPORT(find_rows);

const DirectParts& direct_rows(std::int64_t filters) {
  return *HWY_DYNAMIC_DISPATCH(find_rows)(filters);
}

}  // namespace millrace::kernels
#endif
