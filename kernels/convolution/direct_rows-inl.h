// What both kinds of rows of the direct convolution share. Included once for each instruction set.

#include <algorithm>

#include "kernels/convolution/direct_rows.hpp"
#include "kernels/matrix/lanes-inl.h"

#if defined(MILLRACE_KERNELS_CONVOLUTION_DIRECT_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MILLRACE_KERNELS_CONVOLUTION_DIRECT_ROWS_INL_H_
#undef MILLRACE_KERNELS_CONVOLUTION_DIRECT_ROWS_INL_H_
#else
#define MILLRACE_KERNELS_CONVOLUTION_DIRECT_ROWS_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {

struct Range {
  std::int64_t begin = 0, end = 0;
  bool empty() const { return begin >= end; }
};

/// The i of 0 … count - 1 for which row + i * step is an image row, not padding.
inline Range rows_inside(const DirectShape& s, std::int64_t row, std::int64_t step,
                         std::int64_t count) {
  if (step == 0) return {0, row >= s.pad_y && row < s.end_y ? count : 0};
  const auto first_from = [&](std::int64_t limit) {
    return row < limit ? std::min((limit - row + step - 1) / step, count) : 0;
  };
  return {first_from(s.pad_y), first_from(s.end_y)};
}

/// sums[i] = sum over s of vectors[s][i], vectors all.
template <int kCount>
inline void sum_vectors(const float* vectors, std::int64_t steps, float* sums) {
  constexpr int kChains = std::max(8 / kCount, 1);  // an addition takes as long as eight begin
  constexpr std::int64_t kStep = kCount * kLanes;
  const Floats d;
  Vector sum[kChains][kCount];
  for (int chain = 0; chain < kChains; ++chain)
    for (int i = 0; i < kCount; ++i) sum[chain][i] = hn::Zero(d);
  std::int64_t s = 0;
  for (; s + kChains <= steps; s += kChains)
    for (int chain = 0; chain < kChains; ++chain, vectors += kStep)
      for (int i = 0; i < kCount; ++i)
        sum[chain][i] = hn::Add(sum[chain][i], hn::LoadU(d, vectors + i * kLanes));
  for (; s < steps; ++s, vectors += kStep)
    for (int i = 0; i < kCount; ++i)
      sum[0][i] = hn::Add(sum[0][i], hn::LoadU(d, vectors + i * kLanes));
  for (int i = 0; i < kCount; ++i) {
    for (int chain = 1; chain < kChains; ++chain) sum[0][i] = hn::Add(sum[0][i], sum[chain][i]);
    hn::StoreU(sum[0][i], d, sums + i * kLanes);
  }
}

}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
