#include <omp.h>

#include <algorithm>

#include "kernels/fully_connected/blocks.hpp"
#include "kernels/fully_connected/fully_connected.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/fully_connected/input_gradient.cpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/fully_connected/few_samples-inl.h"
#include "kernels/matrix/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {

// dx = dy W: rows of dy are broadcast against panels of W, copied as it passes by.

/// Rows o … o + count - 1, columns i … i + width - 1 of w into panels [width / kPanel][count]
/// [kPanel]; columns beyond are zero.
void copy_floats(ConstMatrix w, std::int64_t o, std::int64_t count, std::int64_t i,
                 std::int64_t width, float* panels) {
  const Floats d;
  for (std::int64_t r = 0; r < count; ++r) {
    const float* row = w.data + (o + r) * w.stride + i;
    for (std::int64_t c = 0; c < width; c += kPanel) {
      float* to = panels + c * count + r * kPanel;
      if (c + kPanel <= width) {
        hn::StoreU(hn::LoadU(d, row + c), d, to);
        hn::StoreU(hn::LoadU(d, row + c + kLanes), d, to + kLanes);
      } else {
        for (std::int64_t j = 0; j < kPanel; ++j) to[j] = c + j < width ? row[c + j] : 0.0F;
      }
    }
  }
}

/// The same in pairs of rows, [width / kPanel][count / 2][kPanel].
void copy_pairs(ConstMatrix w, std::int64_t o, std::int64_t count, std::int64_t i,
                std::int64_t width, float* panels) {
  const Floats d;
  const std::int64_t units = ceil_div(count, 2);
  for (std::int64_t r = 0; r < units; ++r) {
    const float* low = w.data + (o + 2 * r) * w.stride + i;
    const bool both = 2 * r + 1 < count;
    for (std::int64_t c = 0; c < round_up(width, kPanel); c += kLanes) {
      const Vector high = both ? load_lanes(low + w.stride + c, width - c) : hn::Zero(d);
      hn::StoreU(PairProducts::pack(load_lanes(low + c, width - c), high), d,
                 panels + c / kPanel * kPanel * units + r * kPanel + c % kPanel);
    }
  }
}

/// Brings the chunk of W that is copied next into cache, a few rows at a time, while this one is
/// multiplied.
class Ahead {
 public:
  Ahead(ConstMatrix w, std::int64_t o, std::int64_t i, std::int64_t count, std::int64_t steps)
      : row_(w.data + o * w.stride + i),
        stride_(w.stride),
        left_(count),
        each_((count + steps - 1) / steps) {}

  void step() {
    for (std::int64_t r = std::min(each_, left_); r > 0; --r, --left_, row_ += stride_)
      for (std::int64_t c = 0; c < kGradientColumns; c += 16) hwy::Prefetch(row_ + c);
  }

 private:
  const float* row_;
  std::int64_t stride_, left_, each_;
};

/// dx[s, i …] (+)= dy . panel for one panel of `count` units, `width` columns of which exist.
template <typename Products>
void multiply_panel(std::int64_t n, const Operand& dy, const float* panel, std::int64_t count,
                    Matrix dx, std::int64_t i, std::int64_t width, bool add, Ahead& ahead) {
  HWY_ALIGN float edge[kTileRows * kPanel];
  for (std::int64_t s = 0; s < n; s += kTileRows) {
    const int rows = static_cast<int>(std::min<std::int64_t>(kTileRows, n - s));
    const Operand a{dy.a + s * dy.row, dy.row, dy.step, 0};
    ahead.step();
    float* to = dx.data + s * dx.stride + i;
    if (width >= kPanel) {
      multiply_rows<2, Products>(rows, a, panel, 1, count, to, dx.stride, add);
      continue;
    }
    multiply_rows<2, Products>(rows, a, panel, 1, count, edge, kPanel, false);
    for (int r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < width; ++c)
        to[r * dx.stride + c] = edge[r * kPanel + c] + (add ? to[r * dx.stride + c] : 0.0F);
  }
}

/// Columns begin … end - 1 of dx; `dy` is packed as pack_gradient does.
template <typename Products>
void multiply_columns(const FullyConnectedSize& size, const float* dy, ConstMatrix w, Matrix dx,
                      std::int64_t begin, std::int64_t end) {
  HWY_ALIGN float panels[kGradientOutputs * kGradientColumns];
  for (std::int64_t o = 0; o < size.out; o += kGradientOutputs) {
    const std::int64_t count = std::min(kGradientOutputs, size.out - o);
    const std::int64_t units = ceil_div(count, Products::kPerUnit);
    const Operand a{dy + o / Products::kPerUnit * size.n, units, 1, 0};
    for (std::int64_t i = begin; i < end; i += kGradientColumns) {
      const std::int64_t width = std::min(kGradientColumns, end - i);
      (Products::kPerUnit == 2 ? copy_pairs : copy_floats)(w, o, count, i, width, panels);
      const bool last = i + kGradientColumns >= end;
      Ahead ahead(w, last ? o + kGradientOutputs : o, last ? begin : i + kGradientColumns,
                  last ? std::min(kGradientOutputs, size.out - o - kGradientOutputs) : count,
                  kGradientColumns / kPanel * ceil_div(size.n, kTileRows));
      for (std::int64_t c = 0; c < width; c += kPanel)
        multiply_panel<Products>(size.n, a, panels + c * units, units, dx, i + c, width - c, o > 0,
                                 ahead);
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
