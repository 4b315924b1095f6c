#include <algorithm>

#include "kernels/reduction/reduction.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduction/cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/matrix/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {
namespace {

using Index = std::int64_t;

/// Squares of floats are exact in double, so only their sum rounds.
double sum_of_squares(const float* x, Index n) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> half;
  const auto lanes = static_cast<Index>(hn::Lanes(d));
  auto even = hn::Zero(d), odd = hn::Zero(d);
  Index i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    const auto a = hn::PromoteTo(d, hn::LoadU(half, x + i));
    const auto b = hn::PromoteTo(d, hn::LoadU(half, x + i + lanes));
    even = hn::MulAdd(a, a, even);
    odd = hn::MulAdd(b, b, odd);
  }
  double sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
  for (; i < n; ++i) sum += double{x[i]} * x[i];
  return sum;
}

void add(const float* HWY_RESTRICT x, Index n, float* HWY_RESTRICT to) {
  const Floats d;
  Index i = 0;
  for (; i + kLanes <= n; i += kLanes)
    hn::StoreU(hn::Add(hn::LoadU(d, to + i), hn::LoadU(d, x + i)), d, to + i);
  for (; i < n; ++i) to[i] += x[i];
}

void column_sums(const SumShape& shape, const float* x, bool add_up, float* sums) {
  constexpr Index kRun = 64;
  for (Index c = 0; c < shape.columns; c += kLanes) {
    const Index lanes = std::min<Index>(kLanes, shape.columns - c);
    Vector total = add_up ? load_lanes(sums + c, lanes) : hn::Zero(Floats());
    for (Index begin = 0; begin < shape.rows; begin += kRun) {
      Vector run = hn::Zero(Floats());
      for (Index r = begin; r < std::min(begin + kRun, shape.rows); ++r)
        run = hn::Add(run, load_lanes(x + r * shape.row + c, lanes));
      total = hn::Add(total, run);
    }
    store_lanes(total, sums + c, lanes);
  }
}

}  // namespace
}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::kernels {

HWY_EXPORT(sum_of_squares);
HWY_EXPORT(add);
HWY_EXPORT(column_sums);

double sum_of_squares_cpu(const float* x, std::int64_t n) {
  return HWY_DYNAMIC_DISPATCH(sum_of_squares)(x, n);
}

void add_cpu(const float* x, std::int64_t n, float* to) { HWY_DYNAMIC_DISPATCH(add)(x, n, to); }

void column_sums_cpu(const SumShape& shape, const float* x, bool add, float* sums) {
  HWY_DYNAMIC_DISPATCH(column_sums)(shape, x, add, sums);
}

}  // namespace millrace::kernels
#endif
