// The matrix products of Winograd's convolution, point by point. Included once for each instruction
// set.

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/convolution/winograd_tiles.hpp"
#include "kernels/matrix/sizes.hpp"
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
/// How far ahead the sums are fetched that a product over tiles is added to.
inline constexpr std::int64_t kTilesAhead = 8;

/// Panels of A, of so many units, that are summed in one go.
inline std::int64_t panels_at_once(std::int64_t panels, std::int64_t units) {
  return ceil_div(panels, ceil_div(panels * units, kChunk));
}

/// Brings the lines that follow each other from an address into cache, some at each call.
class LinesAhead {
 public:
  /// At least `floats`, in whole lines, over `calls` calls.
  LinesAhead(std::int64_t floats, std::int64_t calls)
      : each_(ceil_div(floats, kLineFloats * calls)) {}

  HWY_INLINE LinesAhead& from(const float* next) {
    next_ = next;
    return *this;
  }
  HWY_INLINE void operator()() {
    for (std::int64_t line = 0; line < each_; ++line, next_ += kLineFloats) fetch_line(next_);
  }

 private:
  std::int64_t each_;  ///< lines
  const float* next_ = nullptr;
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
      LinesAhead next(inner * kPanel, ceil_div(tiles, kTileRows) * beside_calls(inner));
      next.from(b + inner * kPanel);
      for_each_group(tiles, [&](std::int64_t t, int rows) HWY_ATTR {
        const Operand a{v.at(point, panel) + t * kInner, kInner, 1, v.panel_stride()};
        float* c = m.at(point, column) + t * kPanel;
        const std::int64_t whole = inner / kInner;
        if (whole > 0)
          multiply_rows<2, Products>(rows, a, b, whole, kInner, c, kPanel, panel > 0, next);
        if (inner % kInner > 0)
          multiply_rows<2, Products>(rows, {a.a + whole * a.segment, a.row, a.step, 0},
                                     b + whole * kInner * kPanel, 1, inner % kInner, c, kPanel,
                                     panel > 0 || whole > 0, next);
      });
    }
  }
}

template <typename Products>
void multiply_transposed(const PointMatrices& v, const PointMatrices& z, const PointMatrices& du,
                         std::int64_t tiles, std::int64_t begin, std::int64_t end, bool add) {
  const std::int64_t all = ceil_div(tiles, Products::kPerUnit);
  const std::int64_t chunks = ceil_div(all, kChunk);
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t point = item / du.panels(), column = item % du.panels();
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const std::int64_t t = all * chunk / chunks, inner = all * (chunk + 1) / chunks - t;
      const float* b = z.at(point, column) + t * kPanel;
      LinesAhead next(kTileRows * kPanel, beside_calls(inner));
      for (std::int64_t panel = 0; panel < v.panels(); ++panel) {
        const std::int64_t width = std::min<std::int64_t>(kPanel, v.channels - panel * kPanel);
        for_each_group(width, [&](std::int64_t from, int rows) HWY_ATTR {
          const Operand a{v.at(point, panel) + t * kPanel + from, 1, kPanel, 0};
          float* c = du.at(point, column) + (panel * kPanel + from) * kPanel;
          multiply_rows<2, Products>(rows, a, b, 1, inner, c, kPanel, add || chunk > 0,
                                     next.from(c + kTilesAhead * kTileRows * kPanel));
        });
      }
    }
  }
}

}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
