#include <algorithm>

#include "kernels/columns/columns.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/columns/cpu.cpp"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"
#include "kernels/matrix/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {
namespace {

void copy_row(const float* HWY_RESTRICT from, std::int64_t columns, float* HWY_RESTRICT to) {
  const Floats d;
  std::int64_t c = 0;
  for (; c + kLanes <= columns; c += kLanes) hn::StoreU(hn::LoadU(d, from + c), d, to + c);
  for (; c < columns; ++c) to[c] = from[c];
}

void copy_rows(const ColumnsShape& shape, const float* from, float* to, std::int64_t begin,
               std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r)
    copy_row(from + r * shape.from_row, shape.columns, to + r * shape.to_row);
}

}  // namespace
}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace::kernels {
namespace {

constexpr std::int64_t kTeamElements = 16 * 1024;  // fewer do not pay for waking the team
constexpr std::int64_t kRows = 256;

HWY_EXPORT(copy_rows);

}  // namespace

void copy_columns_cpu(const ColumnsShape& shape, const float* from, float* to) {
#pragma omp parallel for schedule(static) if (shape.rows * shape.columns >= kTeamElements)
  for (std::int64_t r = 0; r < shape.rows; r += kRows)
    HWY_DYNAMIC_DISPATCH(copy_rows)(shape, from, to, r, std::min(r + kRows, shape.rows));
}

}  // namespace millrace::kernels
#endif
