#pragma once
// Winograd's convolution: fewer multiplications than the sum of products, by transforms of tiles.
//
//   Y = A^T [ sum_c (G g_c G^T) * (B^T d_c B) ] A        F(m x m, r x r), n = m + r - 1 points
//
// forward, and the input gradient as the forward pass of the turned filter; the weight gradient is
// F(r x r, m x m) on the same input tiles, the output gradient's tiles being the filter. A strided
// convolution becomes one with stride 1 and ceil(taps / stride) taps over stride^2 as many channels
// (space to depth), so AlexNet's 11 x 11 with stride 4 has 3.9x fewer multiplications, too.
//
// Numerics: rms error against double at most 10x that of a direct convolution of the same
// precision, of a gradient that is mostly 0 where make() is told of it (tests measure it). With
// Precision::bf16 the products alone, and the sums of db, take bfloat16; the transforms are
// float32. Traffic: the weights once a pass, their transform once a block (some 24 to 96 tiles, or
// whole images), each image once, or once for each of up to three parts of the output's channels
// where the weights' transform is large; tiles stay in the caches, a block at a time.
//
// Highway, one source for AVX2, AVX-512 and NEON, chosen at run time; runs on the calling thread's
// OpenMP team. Outputs and input gradients have the same bits on any team, weight gradients on all
// of two threads or more; one thread's may differ, as its blocks do.

#include <cstdint>
#include <optional>

#include "kernels/convolution/convolution.hpp"
#include "kernels/convolution/space_depth.hpp"
#include "kernels/convolution/winograd_tiles.hpp"

namespace millrace::kernels {

/// Value-like and const: one may serve several threads, each with a workspace of its own.
class Winograd {
 public:
  /// The outputs of a tile across, and the algorithm for it.
  struct Tile {
    std::int64_t out = 0;
    const WinogradParts* parts = nullptr;
  };

  /// Empty where the algorithm does not apply: groups, dilation, taps that are not square, tiles
  /// for which there are no points. `sparse_gradient`: most of dy is 0, as behind max pooling; the
  /// input gradient then takes smaller tiles, to be as exact.
  static std::optional<Winograd> make(const ConvolutionShape& shape, bool sparse_gradient = false,
                                      Precision precision = Precision::fp32);

  /// Floats of workspace (64-byte aligned) that each call takes on the calling thread's team of
  /// now.
  std::int64_t workspace_floats() const;

  /// Multiplications of a direct convolution over ours, padding of the tiles included.
  double saving() const;

  /// y [n, out_height, out_width, filters], channels-last. x must be channels-last (row, column and
  /// channel strides of one) unless the stride is above 1. bias may be null; `relu` clamps at 0.
  void forward(const ImageView& x, const float* w, const float* bias, bool relu, float* y,
               float* workspace) const;

  /// dx [n, height, width, channels], channels-last, from dy, channels-last. `relu_output`, not
  /// null only with a stride of 1: x, which a relu made of what dx is to be the gradient of; dx may
  /// be x.
  void input_gradient(const float* dy, const float* w, const float* relu_output, float* dx,
                      float* workspace) const;

  /// dw [filters, channels, taps, taps] and db [filters] (null: not wanted); `add`: to what they
  /// hold.
  void weight_gradient(const ImageView& x, const float* dy, bool add, float* dw, float* db,
                       float* workspace) const;

 private:
  using Gather = decltype(WinogradParts::gather_inputs);
  enum class Kind { forward, input_gradient, weight_gradient };

  /// What one pass takes, cut into blocks of tiles that stay in the caches.
  struct Pass {
    TileGrid in, out;
    const WinogradParts* parts = nullptr;
    std::int64_t image_tiles = 0, tiles = 0, block = 0;  ///< of an image, of all, of a block
    FilterLayout filters;
    std::int64_t part = 0;  ///< channels of `out` at a time, in whole panels where not all
    PointMatrices u;        ///< weights, or their gradient
    PointMatrices v;        ///< tiles of `in`
    PointMatrices m;        ///< tiles of `out`
    float* deep = nullptr;  ///< the block's images where the convolution has a stride
  };

  Winograd(const ConvolutionShape& shape, std::int64_t taps, Tile tile, Tile gradient_tile);
  bool strided() const { return shape_.stride_y > 1; }
  Pass pass(Kind kind) const;
  Pass pass(Kind kind, float* workspace) const;
  std::int64_t floats_of(const Pass& pass) const;
  static std::int64_t floats_of(const Pass& pass, const PointMatrices& matrices);
  /// Calls work(pass, first) for every part of the channels of `out`, from `first` on.
  template <typename Work>
  static void for_each_part(const Pass& pass, const Work& work);
  void gather(const Pass& pass, Gather gather_inputs, const ImageView& x, std::int64_t first,
              std::int64_t tiles) const;
  void transform_filters(const Pass& pass, const float* w) const;
  void multiply(const Pass& pass, std::int64_t tiles) const;

  ConvolutionShape shape_;     ///< stride_y = stride_x
  std::int64_t taps_;          ///< r, as with stride 1
  Tile tile_, gradient_tile_;  ///< m: forward and weight gradient; input gradient
};

}  // namespace millrace::kernels
