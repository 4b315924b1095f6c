#pragma once
// The parts of Winograd's convolution that are written once for every instruction set. Internal to
// the folder; winograd.cpp puts them together.
//
// A panel is kPanel neighbouring channels (two vectors, so its width is the instruction set's).
// What is multiplied lies point by point in panels: [point][panel][row][kPanel]; of Precision::bf16
// in pairs along the inner dimension (kernels/matrix/products-inl.h), a unit of 32 bits each.

#include <cstddef>
#include <cstdint>

#include "kernels/convolution/convolution.hpp"
#include "kernels/matrix/precision.hpp"

namespace millrace::kernels {

/// The tiles of `n` channels-last images, or of some of their channels: tile (n, ty, tx) begins at
/// pixel (ty, tx) * step + origin.
struct TileGrid {
  std::int64_t height = 0, width = 0, channels = 0;
  std::int64_t pixel = channels;  ///< floats between neighbours: the channels of the whole image
  std::int64_t tiles_y = 0, tiles_x = 0;
  std::int64_t step = 1, origin_y = 0, origin_x = 0;
};

/// A matrix [rows, channels] for every point, in panels; counted in units.
struct PointMatrices {
  float* data = nullptr;
  std::int64_t rows = 0, channels = 0, panel = 1;

  std::int64_t panels() const { return (channels + panel - 1) / panel; }
  std::int64_t panel_stride() const { return rows * panel; }
  /// One line more than the panels take: the same place of all points then lies in different sets
  /// of the caches.
  std::int64_t point_stride() const { return panels() * panel_stride() + panel; }
  float* at(std::int64_t point, std::int64_t which) const {
    return data + point * point_stride() + which * panel_stride();
  }
};

/// The weights w [filters, channels, taps, taps] of a convolution with `stride`, seen as one with
/// stride 1 over stride * stride as many channels (space to depth).
struct FilterLayout {
  std::int64_t filters = 0, channels = 0, taps_y = 0, taps_x = 0, stride = 1;
  bool for_input_gradient = false;  ///< turned by 180 degrees, filters and channels exchanged
};

/// Tiles [begin, end) of the block that begins at tile `first`; row t of a matrix is tile first +
/// t.
struct TileRange {
  std::int64_t first = 0, begin = 0, end = 0;
};

/// One algorithm F(m x m, taps x taps) for one instruction set and precision.
struct WinogradParts {
  std::int64_t panel = 1;
  std::int64_t per_unit = 1;     ///< elements of an inner dimension in a unit
  std::int64_t points = 1;       ///< (m + taps - 1)^2
  float gradient_sum_scale = 1;  ///< the sum of a tile of gather_gradients over its point (1, 1)

  /// B^T d B of the input tiles, for products over channels.
  void (*gather_inputs)(const TileGrid&, const float* image, TileRange, const PointMatrices& v);
  /// The same for products over tiles; `begin` is even, here and below.
  void (*gather_inputs_transposed)(const TileGrid&, const float* image, TileRange,
                                   const PointMatrices& v);
  /// G' dy G'^T of the output gradient's tiles, for products over tiles.
  void (*gather_gradients)(const TileGrid&, const float* image, TileRange, const PointMatrices& z);
  /// A^T m A, finished, to the output's tiles.
  void (*scatter_outputs)(const TileGrid&, const PointMatrices& m, TileRange, const Finish&,
                          float* image);
  /// G g G^T of input channels [begin, end), all panels; `begin` is even.
  void (*transform_filters)(const FilterLayout&, const float* w, std::int64_t begin,
                            std::int64_t end, const PointMatrices& u);
  /// dw (+)= A'^T du A' of rows [begin, end) of du, all panels.
  void (*collect_filters)(const FilterLayout&, const PointMatrices& du, std::int64_t begin,
                          std::int64_t end, bool add, float* dw);
  /// m = v u for `tiles` rows; the work items [begin, end) of points * m.panels().
  void (*multiply)(const PointMatrices& v, const PointMatrices& u, const PointMatrices& m,
                   std::int64_t tiles, std::int64_t begin, std::int64_t end);
  /// du (+)= v^T z; the work items [begin, end) of points * du.panels().
  void (*multiply_transposed)(const PointMatrices& v, const PointMatrices& z,
                              const PointMatrices& du, std::int64_t tiles, std::int64_t begin,
                              std::int64_t end, bool add);
};

/// F(out x out, taps x taps) for the best instruction set of this CPU; null where it does not
/// exist.
const WinogradParts* winograd_parts(int out, int taps, Precision precision);

}  // namespace millrace::kernels
