#include <omp.h>

#include <algorithm>
#include <utility>

#include "kernels/fully_connected/blocks.hpp"
#include "kernels/fully_connected/fully_connected.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/fully_connected/input_gradient.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/fully_connected/few_samples-inl.h"
#include "kernels/matrix/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {

// dx = dy W: rows of dy are broadcast against panels of W, copied as it passes by.

/// A panel of W: columns i … i + kPanel - 1 of rows o … o + rows - 1; columns from `end` on are
/// zero.
struct Panel {
  ConstMatrix w;
  std::int64_t o, rows, i, end;
};

/// Copies a panel into [rows][kPanel] floats, or pairs [rows / 2][kPanel], while another one is
/// multiplied, and fetches the one to its right (the first of the next rows comes unfetched).
template <typename Products>
class PanelCopy {
 public:
  /// The whole of it in `calls` calls.
  PanelCopy(const Panel& panel, float* to, std::int64_t calls)
      : panel_(panel),
        to_(to),
        left_(ceil_div(panel.rows, Products::kPerUnit)),
        each_(ceil_div(left_, calls)) {}

  HWY_INLINE void operator()() {
    for (std::int64_t unit = std::min(each_, left_); unit > 0; --unit) copy_unit();
  }
  void rest() {
    while (left_ > 0) copy_unit();
  }

 private:
  HWY_INLINE void copy_unit() {
    const std::int64_t width = panel_.end - panel_.i;
    for (std::int64_t c = 0; c < kPanel; c += kLanes)
      hn::StoreU(unit_at(c, width - c), Floats(), to_ + c);
    panel_.o += Products::kPerUnit;
    panel_.rows -= Products::kPerUnit;
    to_ += kPanel;
    --left_;
  }
  HWY_INLINE Vector unit_at(std::int64_t c, std::int64_t lanes) const {
    const float* row = panel_.w.data + panel_.o * panel_.w.stride + panel_.i + c;
    const bool begins_line = c % kLineFloats == 0;
    if (begins_line) fetch_line(row + kPanel);
    const Vector value = load_lanes(row, lanes);
    if constexpr (Products::kPerUnit == 1) {
      return value;
    } else {
      if (begins_line) fetch_line(row + panel_.w.stride + kPanel);
      const Vector none = hn::Zero(Floats());
      return Products::pack(value,
                            panel_.rows > 1 ? load_lanes(row + panel_.w.stride, lanes) : none);
    }
  }

  Panel panel_;
  float* to_;
  std::int64_t left_, each_;  ///< units
};

/// dx[s, i …] (+)= dy . panel for one panel of `count` units, `width` columns of which exist.
template <typename Products, typename Beside>
void multiply_panel(std::int64_t n, const Operand& dy, const float* panel, std::int64_t count,
                    Matrix dx, std::int64_t i, std::int64_t width, bool add, Beside& beside) {
  HWY_ALIGN float edge[kTileRows * kPanel];
  for (std::int64_t s = 0; s < n; s += kTileRows) {
    const int rows = static_cast<int>(std::min<std::int64_t>(kTileRows, n - s));
    const Operand a{dy.a + s * dy.row, dy.row, dy.step, 0};
    float* to = dx.data + s * dx.stride + i;
    if (width >= kPanel) {
      multiply_rows<2, Products>(rows, a, panel, 1, count, to, dx.stride, add, beside);
      continue;
    }
    multiply_rows<2, Products>(rows, a, panel, 1, count, edge, kPanel, false, beside);
    for (int r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < width; ++c)
        to[r * dx.stride + c] = edge[r * kPanel + c] + (add ? to[r * dx.stride + c] : 0.0F);
  }
}

/// Columns begin … end - 1 of dx; `dy` is packed as pack_gradient does. The next panel of W is
/// copied while one is multiplied.
template <typename Products>
void multiply_columns(const FullyConnectedSize& size, const float* dy, ConstMatrix w, Matrix dx,
                      std::int64_t begin, std::int64_t end) {
  HWY_ALIGN float buffers[2][kGradientOutputs * kPanel];
  float *panel = buffers[0], *other = buffers[1];
  const auto panel_at = [&](std::int64_t o, std::int64_t i) {
    return Panel{w, o, std::clamp<std::int64_t>(size.out - o, 0, kGradientOutputs), i, end};
  };
  PanelCopy<Products>(panel_at(0, begin), panel, 1).rest();
  for (std::int64_t o = 0; o < size.out; o += kGradientOutputs) {
    const std::int64_t count = std::min(kGradientOutputs, size.out - o);
    const std::int64_t units = ceil_div(count, Products::kPerUnit);
    const Operand a{dy + o / Products::kPerUnit * size.n, units, 1, 0};
    for (std::int64_t i = begin; i < end; i += kPanel) {
      const bool last = i + kPanel >= end;
      PanelCopy<Products> next(
          last ? panel_at(o + kGradientOutputs, begin) : panel_at(o, i + kPanel), other,
          ceil_div(size.n, kTileRows) * beside_calls(units));
      multiply_panel<Products>(size.n, a, panel, units, dx, i, end - i, o > 0, next);
      next.rest();
      std::swap(panel, other);
    }
  }
}

void input_gradient_columns(const FullyConnectedSize& size, Precision precision, const float* dy,
                            ConstMatrix w, Matrix dx, std::int64_t begin, std::int64_t end) {
  (precision == Precision::bf16 ? multiply_columns<PairProducts>
                                : multiply_columns<FloatProducts>)(size, dy, w, dx, begin, end);
}

void input_gradient_few(const FullyConnectedSize& size, ConstMatrix dy, ConstMatrix w, Matrix dx,
                        std::int64_t begin, std::int64_t end) {
  for (std::int64_t s = 0; s < size.n; ++s)
    std::fill_n(dx.data + s * dx.stride + begin, end - begin, 0.0F);
  add_rows(static_cast<int>(size.n), size.out, end - begin, dy, {w.data + begin, w.stride},
           {dx.data + begin, dx.stride});
}

}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::kernels {

HWY_EXPORT(input_gradient_columns);
HWY_EXPORT(input_gradient_few);

namespace {

constexpr std::int64_t kLeastColumns = 64;  // that a thread takes

/// `count` floats as pairs.
void pair_row(const float* row, std::int64_t count, float* pairs) {
  for (std::int64_t i = 0; i + 1 < count; i += 2) pairs[i / 2] = pair_of(row[i], row[i + 1]);
  if (count % 2 != 0) pairs[count / 2] = pair_of(row[count - 1], 0);
}

/// Blocks [out / kGradientOutputs][n][kGradientOutputs], the last one narrower; or of pairs.
void pack_gradient(const FullyConnectedSize& size, Precision precision, ConstMatrix dy,
                   float* packed) {
  const std::int64_t blocks = ceil_div(size.out, kGradientOutputs);
#pragma omp parallel for schedule(static) if (blocks > 1)
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int64_t o = block * kGradientOutputs,
                       count = std::min(kGradientOutputs, size.out - o);
    for (std::int64_t s = 0; s < size.n; ++s) {
      const float* row = dy.data + s * dy.stride + o;
      if (precision == Precision::bf16)
        pair_row(row, count, packed + o / 2 * size.n + s * ceil_div(count, 2));
      else
        std::copy_n(row, count, packed + o * size.n + s * count);
    }
  }
}

}  // namespace

void fully_connected_input_gradient(const FullyConnectedSize& size, Precision precision,
                                    ConstMatrix dy, ConstMatrix w, Matrix dx, float* workspace) {
  const bool few = size.n <= kFewSamples;
  if (!few) pack_gradient(size, precision, dy, workspace);
#pragma omp parallel
  {
    const std::int64_t blocks = ceil_div(size.in, kLeastColumns);
    const std::int64_t team = omp_get_num_threads(), me = omp_get_thread_num();
    const std::int64_t begin = blocks * me / team * kLeastColumns;
    const std::int64_t end = std::min(size.in, blocks * (me + 1) / team * kLeastColumns);
    if (begin < end && few) {
      HWY_DYNAMIC_DISPATCH(input_gradient_few)(size, dy, w, dx, begin, end);
    } else if (begin < end) {
      HWY_DYNAMIC_DISPATCH(input_gradient_columns)(size, precision, workspace, w, dx, begin, end);
    }
  }
}

}  // namespace millrace::kernels
#endif
