// The matrix products of Winograd's convolution, point by point. Included once for each instruction
// set.

#include <algorithm>
#include <cstdint>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/convolution/winograd_tiles.hpp"
#include "kernels/matrix/tile-inl.h"

#if defined(MILLRACE_KERNELS_CONVOLUTION_WINOGRAD_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MILLRACE_KERNELS_CONVOLUTION_WINOGRAD_PRODUCTS_INL_H_
#undef MILLRACE_KERNELS_CONVOLUTION_WINOGRAD_PRODUCTS_INL_H_
#else
#define MILLRACE_KERNELS_CONVOLUTION_WINOGRAD_PRODUCTS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {

/// Products are summed over this many units of channels or tiles at a time: a shorter chain of
/// roundings is worth 1.6x in the error of F(5 x 5, 3 x 3).
inline constexpr std::int64_t kChunk = 48;

/// Panels of A, of so many units, that are summed in one go.
inline std::int64_t panels_at_once(std::int64_t panels, std::int64_t units) {
  const std::int64_t chunks = (panels * units + kChunk - 1) / kChunk;
  return (panels + chunks - 1) / chunks;
}

/// Brings the weights that are multiplied next, which follow in memory, into cache while these are:
/// a part at each group of tiles.
class WeightsAhead {
 public:
  WeightsAhead(const float* next, std::int64_t floats, std::int64_t tiles)
      : next_(next), each_(floats / (kLineFloats * ((tiles + kTileRows - 1) / kTileRows)) + 1) {}

  HWY_INLINE void step() {
    for (std::int64_t line = 0; line < each_; ++line, next_ += kLineFloats) hwy::Prefetch(next_);
  }

 private:
  static constexpr std::int64_t kLineFloats = 16;
  const float* next_;
  std::int64_t each_;  ///< lines
};

template <typename Products>
void multiply(const PointMatrices& v, const PointMatrices& u, const PointMatrices& m,
              std::int64_t tiles, std::int64_t begin, std::int64_t end) {
  constexpr std::int64_t kInner = kPanel / Products::kPerUnit;
  const std::int64_t at_once = panels_at_once(v.panels(), kInner);
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t point = item / m.panels(), column = item % m.panels();
    for (std::int64_t panel = 0; panel < v.panels(); panel += at_once) {
      const std::int64_t panels = std::min(at_once, v.panels() - panel);
      const std::int64_t inner = std::min(v.channels - panel * kInner, panels * kInner);
      const float* b = u.at(point, column) + panel * kInner * kPanel;
      WeightsAhead next(b + inner * kPanel, inner * kPanel, tiles);
      for_each_group(tiles, [&](std::int64_t t, int rows) HWY_ATTR {
        next.step();
        const Operand a{v.at(point, panel) + t * kInner, kInner, 1, v.panel_stride()};
        float* c = m.at(point, column) + t * kPanel;
        const std::int64_t whole = inner / kInner;
        if (whole > 0) multiply_rows<2, Products>(rows, a, b, whole, kInner, c, kPanel, panel > 0);
        if (inner % kInner > 0)
          multiply_rows<2, Products>(rows, {a.a + whole * a.segment, a.row, a.step, 0},
                                     b + whole * kInner * kPanel, 1, inner % kInner, c, kPanel,
                                     panel > 0 || whole > 0);
      });
    }
  }
}

template <typename Products>
void multiply_transposed(const PointMatrices& v, const PointMatrices& z, const PointMatrices& du,
                         std::int64_t tiles, std::int64_t begin, std::int64_t end, bool add) {
  const std::int64_t all = (tiles + Products::kPerUnit - 1) / Products::kPerUnit;
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t point = item / du.panels(), column = item % du.panels();
    for (std::int64_t t = 0; t < all; t += kChunk) {
      const std::int64_t inner = std::min(kChunk, all - t);
      const float* b = z.at(point, column) + t * kPanel;
      for (std::int64_t panel = 0; panel < v.panels(); ++panel) {
        const std::int64_t width = std::min<std::int64_t>(kPanel, v.channels - panel * kPanel);
        for_each_group(width, [&](std::int64_t from, int rows) HWY_ATTR {
          const Operand a{v.at(point, panel) + t * kPanel + from, 1, kPanel, 0};
          multiply_rows<2, Products>(rows, a, b, 1, inner,
                                     du.at(point, column) + (panel * kPanel + from) * kPanel,
                                     kPanel, add || t > 0);
        });
      }
    }
  }
}

}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
