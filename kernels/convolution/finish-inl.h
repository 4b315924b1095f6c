// Finish (convolution.hpp) for a vector of channels. Included once for each instruction set.

#include "kernels/convolution/convolution.hpp"
#include "kernels/matrix/lanes-inl.h"

#if defined(MILLRACE_KERNELS_CONVOLUTION_FINISH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MILLRACE_KERNELS_CONVOLUTION_FINISH_INL_H_
#undef MILLRACE_KERNELS_CONVOLUTION_FINISH_INL_H_
#else
#define MILLRACE_KERNELS_CONVOLUTION_FINISH_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {

/// Of channels `channel` … of every pixel, at most `lanes`.
class FinishLanes {
 public:
  HWY_INLINE FinishLanes(const Finish& finish, std::ptrdiff_t channel, std::ptrdiff_t lanes)
      : bias_(finish.bias ? load_lanes(finish.bias + channel, lanes) : hn::Zero(Floats())),
        relu_(finish.relu),
        relu_output_(finish.relu_output ? finish.relu_output + channel : nullptr),
        lanes_(lanes) {}

  /// `pixel`: where the pixel's channel 0 lies in the image.
  HWY_INLINE Vector operator()(Vector sum, std::ptrdiff_t pixel) const {
    const Vector value = hn::Add(sum, bias_);
    if (relu_) return clamp_at_zero(value);
    if (relu_output_ == nullptr) return value;
    const Vector output = load_lanes(relu_output_ + pixel, lanes_);
    return hn::IfThenZeroElse(hn::Le(output, hn::Zero(Floats())), value);
  }

 private:
  Vector bias_;
  bool relu_;
  const float* relu_output_;
  std::ptrdiff_t lanes_;
};

}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
