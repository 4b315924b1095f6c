#pragma once
// Direct convolution on channels-last images: every product of the sum, none of them arranged in
// memory first. A pixel's channels and its right neighbours' lie side by side, so a row of taps is
// one run of floats, and the micro-kernel (kernels/matrix) reads its first operand from the padded
// image:
//
//   forward           rows: output pixels    inner: taps x channels    panel: filters
//   input gradient    the same of the turned filter; with a stride, zeros between the pixels of dy
//   weight gradient   rows: taps x channels  inner: output pixels      panel: filters
//
// Where a group has few filters (6 would leave most of an AVX-512 vector idle) and rows are long,
// a vector holds neighbouring pixels of one filter instead: images are copied into rows of planes
// [row][channel][column], and the sums are turned into channels-last pixels.
//
// Any shape. Numerics: float32 sums of at most 24 KiB of weights, or of an image's pixels (of
// planes: of 24 KiB of dy, in each lane), at a time. Traffic: x and dy copied once (padding,
// panels, planes; not dy whose filters fill one panel), y and dx written once, a block of images at
// a time.
//
// Highway, one source for AVX2, AVX-512 and NEON, chosen at run time; runs on the calling thread's
// OpenMP team.

#include <cstdint>
#include <optional>

#include "kernels/convolution/convolution.hpp"
#include "kernels/convolution/direct_rows.hpp"
#include "kernels/convolution/space_depth.hpp"

namespace millrace::kernels {

/// Value-like and const: one may serve several threads, each with a workspace of its own.
class DirectConvolution {
 public:
  /// Empty where there is no output, or padding that no window reaches past.
  static std::optional<DirectConvolution> make(const ConvolutionShape& shape);

  /// Floats of workspace (64-byte aligned) that each call takes.
  std::int64_t workspace_floats() const;

  /// As Winograd's (winograd.hpp); x may have any strides.
  void forward(const ImageView& x, const float* w, const float* bias, bool relu, float* y,
               float* workspace) const;
  void input_gradient(const float* dy, const float* w, const float* relu_output, float* dx,
                      float* workspace) const;
  void weight_gradient(const ImageView& x, const float* dy, bool add, float* dw, float* db,
                       float* workspace) const;

 private:
  explicit DirectConvolution(const ConvolutionShape& shape);
  std::int64_t panels(const DirectShape& shape) const;  ///< of all groups
  std::int64_t weight_floats(const DirectShape& shape) const;
  /// One full panel is dy as it is.
  bool reads_gradients_unpacked() const;
  std::int64_t packed_floats() const;
  void run(const DirectShape& shape, const ImageView& in, bool turned, const float* w,
           const Finish& finish, float* out, float* workspace) const;
  void add_bias_gradient(std::int64_t panel, const float* packed, std::int64_t images, bool add,
                         float* db) const;

  ConvolutionShape shape_;
  DirectShape forward_, gradient_;
};

}  // namespace millrace::kernels
