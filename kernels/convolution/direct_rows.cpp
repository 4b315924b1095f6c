#include "kernels/convolution/direct_rows.hpp"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/convolution/direct_rows.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/convolution/finish-inl.h"
#include "kernels/matrix/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {
namespace {

using Index = std::int64_t;

Index panels_of(const DirectShape& s) { return (s.group_filters() + kPanel - 1) / kPanel; }

/// One row of one panel: row [out_width][kPanel] = weights * the padded pixels at `image`.
void multiply_row(const DirectShape& s, const float* image, const float* weights, float* row) {
  for (const Runs& run : s.runs) {
    const float* b = weights + run.weight * kPanel;
    for_each_group(s.out_width, [&](Index begin, int rows) HWY_ATTR {
      const Operand a{image + run.image + begin * s.stride_x * s.channels, s.stride_x * s.channels,
                      1, run.stride};
      multiply_rows(rows, a, b, run.count, run.length, row + begin * kPanel, kPanel,
                    run.weight > 0);
    });
  }
}

/// `lanes` of each panel-wide pixel to filters `filter` … of the channels-last pixels at `pixel` of
/// y.
void store_row(const DirectShape& s, const float* row, Index filter, Index lanes,
               const Finish& finish, float* y, Index pixel) {
  for (Index half = 0; half < 2 && half * kLanes < lanes; ++half) {
    const Index from = half * kLanes, count = lanes - from, first = filter + from;
    const FinishLanes finished(finish, first, count);
    for (Index q = 0; q < s.out_width; ++q) {
      const Index at = (pixel + q) * s.filters;
      store_lanes(finished(hn::LoadU(Floats(), row + q * kPanel + from), at), y + at + first,
                  count);
    }
  }
}

void forward_rows(const DirectShape& s, const float* padded, const float* weights,
                  const Finish& finish, float* y, RowRange range, float* row) {
  const Index panels = panels_of(s);
  for (Index out = range.begin; out < range.end; ++out) {
    const float* image = padded + out / s.out_height * s.image_floats() +
                         out % s.out_height * s.stride_y * s.width * s.channels;
    for (Index panel = 0; panel < s.groups * panels; ++panel) {
      const Index group = panel / panels, in_group = panel % panels * kPanel;
      multiply_row(s, image + group * s.group_channels(), weights + panel * s.inner() * kPanel,
                   row);
      store_row(s, row, group * s.group_filters() + in_group,
                std::min<Index>(kPanel, s.group_filters() - in_group), finish, y,
                (range.first + out) * s.out_width);
    }
  }
}

void pack_gradients(const DirectShape& s, const float* dy, Index pixels, Index begin, Index end,
                    float* packed) {
  const Floats d;
  const Index panels = panels_of(s);
  for (Index panel = 0; panel < s.groups * panels; ++panel) {
    const Index in_group = panel % panels * kPanel;
    const float* from = dy + panel / panels * s.group_filters() + in_group;
    for (Index pixel = begin; pixel < end; ++pixel)
      for (Index half = 0; half < 2; ++half) {
        const Index lanes = s.group_filters() - in_group - half * kLanes;
        hn::StoreU(load_lanes(from + pixel * s.filters + half * kLanes, lanes), d,
                   packed + (panel * pixels + pixel) * kPanel + half * kLanes);
      }
  }
}

void add_weight_gradients(const DirectShape& s, const float* padded, const float* packed,
                          Index images, Index panel, Index run_index, bool first, float* dw) {
  const Runs& run = s.runs[static_cast<std::size_t>(run_index)];
  const Index pixels = s.out_height * s.out_width;
  const float* image = padded + panel / panels_of(s) * s.group_channels() + run.image;
  for (Index n = 0; n < images; ++n)
    for (Index part = 0; part < run.count; ++part)
      for_each_group(run.length, [&](Index begin, int rows) HWY_ATTR {
        const Operand a{image + n * s.image_floats() + part * run.stride + begin, 1,
                        s.stride_x * s.channels, s.stride_y * s.width * s.channels};
        float* c = dw + (panel * s.inner() + run.weight + part * run.length + begin) * kPanel;
        multiply_rows(rows, a, packed + (panel * images + n) * pixels * kPanel, s.out_height,
                      s.out_width, c, kPanel, !first || n > 0);
      });
}

const DirectParts* parts() {
  static const DirectParts all = {kPanel, forward_rows, pack_gradients, add_weight_gradients};
  return &all;
}

}  // namespace
}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::kernels {
HWY_EXPORT(parts);

const DirectParts& direct_parts() { return *HWY_DYNAMIC_DISPATCH(parts)(); }

}  // namespace millrace::kernels
#endif
