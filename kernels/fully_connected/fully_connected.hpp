#pragma once
// The matrix products of a fully connected layer, n samples, `in` features to `out`:
//
//   forward          y[s, o]  = sum_i x[s, i] W[o, i] + b[o]          (then max(0, .) where asked)
//   input gradient   dx[s, i] = sum_o dy[s, o] W[o, i]
//   weight gradient  dW[o, i] = sum_s dy[s, o] x[s, i]
//
// All matrices are row-major with a stride, so a slice of columns is a matrix too: W stays as
// LibTorch has it, [out, in]. Any n, in, out >= 1. Nothing outside the matrices is read or written.
//
// Numerics: products of `precision` (forward and input gradient of at most kFewSamples samples: of
// float32), summed in float32 in blocks of the inner dimension; the error is that of any such sum
// of the rounded operands, at most about (inner dimension) x 2^-24 x sum |products|. An element's
// sum does not depend on the threads, on the slice it is computed in, or on the other samples
// (forward and input gradient of at most kFewSamples samples: on their being few). Aliasing: no
// output may overlap an input or the workspace. Traffic: W is read once from memory per pass for up
// to 128 samples, in the order of its rows; samples are read a few times, from cache. Few samples:
// W is read at the speed of memory. Threads: the calling thread's OpenMP team shares the work;
// calls with distinct outputs and workspaces may run at the same time. Nothing is thrown.

#include <cstdint>
#include <span>
#include <utility>

#include "kernels/matrix/precision.hpp"

namespace millrace::kernels {

/// Row r begins at data + r * stride.
struct ConstMatrix {
  const float* data;
  std::int64_t stride;
};
struct Matrix {
  float* data;
  std::int64_t stride;
};

struct FullyConnectedSize {
  std::int64_t n, in, out;
};

/// Up to so many samples nothing is rearranged: W passes by once.
inline constexpr std::int64_t kFewSamples = 4;

/// Floats that forward and input gradient need beside their operands (fastest at a multiple of 64
/// bytes). What is in them before and after a call means nothing.
std::int64_t fully_connected_workspace(const FullyConnectedSize& size);

/// x [n, in], w [out, in], y [n, out]; `bias` [out] or null.
void fully_connected_forward(const FullyConnectedSize& size, Precision precision, ConstMatrix x,
                             ConstMatrix w, const float* bias, bool relu, Matrix y,
                             float* workspace);

/// dy [n, out], w [out, in], dx [n, in].
void fully_connected_input_gradient(const FullyConnectedSize& size, Precision precision,
                                    ConstMatrix dy, ConstMatrix w, Matrix dx, float* workspace);

/// The weight gradient, one tile at a time, so that its user consumes each while it is in cache and
/// it never exists as a whole. Samples may come in several parts; a tile sums over all of them, in
/// the order of their numbers, so that the parts do not change a bit of it.
/// Traffic: the samples are copied once and then read from cache.
class WeightGradient {
 public:
  static constexpr std::int64_t kBlockRows = 48;
  static constexpr std::int64_t kTileColumns = 512;

  /// Part of dW: row r of it at values + r * kTileColumns.
  struct Tile {
    std::int64_t o, i, rows, columns;
    const float* values;
  };

  /// Floats of workspace.
  static std::int64_t workspace(const FullyConnectedSize& size);

  /// `workspace` is used as long as this.
  WeightGradient(const FullyConnectedSize& size, Precision precision, float* workspace);

  /// Copies samples first … first + n - 1: x [n, in], dy [n, out]. Distinct parts may be added at
  /// the same time. REQUIRES every sample to be added before the first tile.
  void add(std::int64_t first, std::int64_t n, ConstMatrix x, ConstMatrix dy);

  /// Blocks of kBlockRows rows, the last one smaller.
  std::int64_t blocks() const { return (size_.out + kBlockRows - 1) / kBlockRows; }

  /// Calls use(tile) for all tiles of a block, in a fixed order. `near` are [out, in] matrices that
  /// the user goes through with the tiles: the part of the next tile is brought into cache while
  /// one is formed. Runs on the calling thread alone; any number of threads may call at the same
  /// time.
  template <typename Use>
  void for_each_tile(std::int64_t block, std::span<const ConstMatrix> near, const Use& use) const {
    alignas(64) float values[kMostTileRows * kTileColumns];
    for (std::int64_t number = 0; number < tiles(block); ++number) {
      Tile tile = tile_of(block, number);
      tile.values = values;
      form(tile, tile_of(block, number + 1), near, values);
      use(std::as_const(tile));
    }
  }

 private:
  static constexpr std::int64_t kMostTileRows = 12;

  /// Groups of tile_rows_ rows in a block; tiles go down these, then on to the next columns.
  std::int64_t groups(std::int64_t block) const;
  std::int64_t tiles(std::int64_t block) const;
  /// Without values; no rows: past the last one.
  Tile tile_of(std::int64_t block, std::int64_t number) const;
  void form(const Tile& tile, const Tile& next, std::span<const ConstMatrix> near,
            float* values) const;

  FullyConnectedSize size_;
  Precision precision_;
  std::int64_t tile_rows_;  ///< what the machine's registers hold
  float* x_;                ///< [in / panel][n][panel], or pairs [in / panel][n / 2][panel]
  float* dy_;               ///< [out / kBlockRows][n][kBlockRows], or pairs
};

/// The formulas as written above, summed in double; dw [out, in].
void fully_connected_forward_reference(const FullyConnectedSize& size, ConstMatrix x, ConstMatrix w,
                                       const float* bias, bool relu, Matrix y);
void fully_connected_input_gradient_reference(const FullyConnectedSize& size, ConstMatrix dy,
                                              ConstMatrix w, Matrix dx);
void fully_connected_weight_gradient_reference(const FullyConnectedSize& size, ConstMatrix x,
                                               ConstMatrix dy, Matrix dw);

}  // namespace millrace::kernels
