// Vectors of floats, and the last few elements of a row that fill none. Included once for each
// instruction set.

#include <algorithm>
#include <cstddef>

#include "hwy/highway.h"

#if defined(MILLRACE_KERNELS_MATRIX_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MILLRACE_KERNELS_MATRIX_LANES_INL_H_
#undef MILLRACE_KERNELS_MATRIX_LANES_INL_H_
#else
#define MILLRACE_KERNELS_MATRIX_LANES_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;
inline constexpr int kLanes = hn::MaxLanes(Floats());

/// Masked loads and stores leave what is masked alone; elsewhere (SSE2, NEON) they touch all of it,
/// which may lie on a page that is not there.
inline constexpr bool kHasMaskedMemory = HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3;

/// Lanes [0, lanes) of what p points at; the rest 0, and not read.
HWY_INLINE Vector load_lanes(const float* p, std::ptrdiff_t lanes) {
  const Floats d;
  if (lanes >= kLanes) return hn::LoadU(d, p);
  if (lanes <= 0) return hn::Zero(d);
  if constexpr (kHasMaskedMemory)
    return hn::MaskedLoad(hn::FirstN(d, static_cast<std::size_t>(lanes)), d, p);
  float all[kLanes] = {};
  std::copy_n(p, lanes, all);
  return hn::LoadU(d, all);
}

/// To lanes [0, lanes) of what p points at; the rest is not written.
HWY_INLINE void store_lanes(Vector value, float* p, std::ptrdiff_t lanes) {
  const Floats d;
  if (lanes >= kLanes) return hn::StoreU(value, d, p);
  if (lanes <= 0) return;
  if constexpr (kHasMaskedMemory)
    return hn::BlendedStore(value, hn::FirstN(d, static_cast<std::size_t>(lanes)), d, p);
  float all[kLanes];
  hn::StoreU(value, d, all);
  std::copy_n(all, lanes, p);
}

/// max(value, 0); what is no number stays so, as instructions for a maximum do not promise.
HWY_INLINE Vector clamp_at_zero(Vector value) {
  return hn::IfThenZeroElse(hn::Lt(value, hn::Zero(Floats())), value);
}

}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
