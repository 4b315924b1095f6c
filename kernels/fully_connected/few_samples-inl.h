// Products with a few samples: W passes by once, its vectors used as they are read. Included once
// for each instruction set, as kernels/matrix/tile-inl.h.

#include <cstdint>

#include "hwy/highway.h"
#include "kernels/fully_connected/fully_connected.hpp"
#include "kernels/matrix/tile-inl.h"

#if defined(MILLRACE_KERNELS_FEW_SAMPLES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MILLRACE_KERNELS_FEW_SAMPLES_INL_H_
#undef MILLRACE_KERNELS_FEW_SAMPLES_INL_H_
#else
#define MILLRACE_KERNELS_FEW_SAMPLES_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {

/// sums[r * sums_row + s] = x[s, :] . w[r, :] for kRows rows and kCount samples.
template <int kRows, int kCount>
HWY_INLINE void dot_tile(std::int64_t in, ConstMatrix x, ConstMatrix w, float* sums,
                         std::int64_t sums_row) {
  const Floats d;
  Vector sum[kRows][kCount];
  for (int r = 0; r < kRows; ++r)
    for (int s = 0; s < kCount; ++s) sum[r][s] = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + kLanes <= in; i += kLanes) {
    Vector row[kRows];
    for (int r = 0; r < kRows; ++r) row[r] = hn::LoadU(d, w.data + r * w.stride + i);
    for (int s = 0; s < kCount; ++s) {
      const Vector sample = hn::LoadU(d, x.data + s * x.stride + i);
      for (int r = 0; r < kRows; ++r) sum[r][s] = hn::MulAdd(row[r], sample, sum[r][s]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int s = 0; s < kCount; ++s) {
      float total = hn::GetLane(hn::SumOfLanes(d, sum[r][s]));
      for (std::int64_t j = i; j < in; ++j)
        total += w.data[r * w.stride + j] * x.data[s * x.stride + j];
      sums[r * sums_row + s] = total;
    }
}

template <int kCount>
void dot_all_rows(std::int64_t in, ConstMatrix x, ConstMatrix w, std::int64_t rows, float* sums,
                  std::int64_t sums_row) {
  constexpr int kTogether = kCount > 2 ? 2 : 4;
  std::int64_t r = 0;
  for (; r + kTogether <= rows; r += kTogether)
    dot_tile<kTogether, kCount>(in, x, {w.data + r * w.stride, w.stride}, sums + r * sums_row,
                                sums_row);
  for (; r < rows; ++r)
    dot_tile<1, kCount>(in, x, {w.data + r * w.stride, w.stride}, sums + r * sums_row, sums_row);
}

/// The same for `rows` rows and 1 <= n <= kFewSamples samples.
HWY_INLINE void dot_rows(int n, std::int64_t in, ConstMatrix x, ConstMatrix w, std::int64_t rows,
                         float* sums, std::int64_t sums_row) {
  static_assert(kFewSamples == 4);
  if (n == 1) return dot_all_rows<1>(in, x, w, rows, sums, sums_row);
  if (n == 2) return dot_all_rows<2>(in, x, w, rows, sums, sums_row);
  if (n == 3) return dot_all_rows<3>(in, x, w, rows, sums, sums_row);
  dot_all_rows<4>(in, x, w, rows, sums, sums_row);
}

/// y[s, :] += sum over kRows rows r of a[s, r] w[r, :], `columns` wide.
template <int kRows, int kCount>
HWY_INLINE void add_tile(std::int64_t columns, ConstMatrix a, ConstMatrix w, Matrix y) {
  const Floats d;
  std::int64_t i = 0;
  for (; i + kLanes <= columns; i += kLanes) {
    Vector row[kRows];
    for (int r = 0; r < kRows; ++r) row[r] = hn::LoadU(d, w.data + r * w.stride + i);
    for (int s = 0; s < kCount; ++s) {
      Vector sum = hn::LoadU(d, y.data + s * y.stride + i);
      for (int r = 0; r < kRows; ++r)
        sum = hn::MulAdd(hn::Set(d, a.data[s * a.stride + r]), row[r], sum);
      hn::StoreU(sum, d, y.data + s * y.stride + i);
    }
  }
  for (; i < columns; ++i)
    for (int s = 0; s < kCount; ++s)
      for (int r = 0; r < kRows; ++r)
        y.data[s * y.stride + i] += a.data[s * a.stride + r] * w.data[r * w.stride + i];
}

template <int kCount>
void add_all_rows(std::int64_t rows, std::int64_t columns, ConstMatrix a, ConstMatrix w, Matrix y) {
  constexpr int kTogether = 4;
  std::int64_t r = 0;
  for (; r + kTogether <= rows; r += kTogether)
    add_tile<kTogether, kCount>(columns, {a.data + r, a.stride}, {w.data + r * w.stride, w.stride},
                                y);
  for (; r < rows; ++r)
    add_tile<1, kCount>(columns, {a.data + r, a.stride}, {w.data + r * w.stride, w.stride}, y);
}

/// y[s, :] += sum over `rows` rows of a[s, r] w[r, :] for 1 <= n <= kFewSamples samples.
HWY_INLINE void add_rows(int n, std::int64_t rows, std::int64_t columns, ConstMatrix a,
                         ConstMatrix w, Matrix y) {
  if (n == 1) return add_all_rows<1>(rows, columns, a, w, y);
  if (n == 2) return add_all_rows<2>(rows, columns, a, w, y);
  if (n == 3) return add_all_rows<3>(rows, columns, a, w, y);
  add_all_rows<4>(rows, columns, a, w, y);
}

}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
