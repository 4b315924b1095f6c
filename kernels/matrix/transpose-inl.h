// Transposes of matrices of floats. Included once for each instruction set.

#include <algorithm>
#include <cstddef>

#include "hwy/highway.h"

#if defined(MILLRACE_KERNELS_MATRIX_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MILLRACE_KERNELS_MATRIX_TRANSPOSE_INL_H_
#undef MILLRACE_KERNELS_MATRIX_TRANSPOSE_INL_H_
#else
#define MILLRACE_KERNELS_MATRIX_TRANSPOSE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace millrace::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR
template <typename Row>
struct Quad {
  Row at[4];
};

/// In each block of four lanes, columns for rows.
template <typename Tag, typename Row>
HWY_INLINE Quad<Row> transposed(Tag d, Row row0, Row row1, Row row2, Row row3) {
  const auto lower02 = hn::InterleaveLower(d, row0, row2);
  const auto lower13 = hn::InterleaveLower(d, row1, row3);
  const auto upper02 = hn::InterleaveUpper(d, row0, row2);
  const auto upper13 = hn::InterleaveUpper(d, row1, row3);
  return {hn::InterleaveLower(d, lower02, lower13), hn::InterleaveUpper(d, lower02, lower13),
          hn::InterleaveLower(d, upper02, upper13), hn::InterleaveUpper(d, upper02, upper13)};
}
#endif

/// out[j * out_row + i] = in[i * in_row + j]. In blocks of 4 x 4; the last ones overlap.
inline void transpose_matrix(const float* in, std::ptrdiff_t in_row, std::ptrdiff_t rows,
                             std::ptrdiff_t columns, float* out, std::ptrdiff_t out_row) {
#if HWY_TARGET != HWY_SCALAR
  if (rows >= 4 && columns >= 4) {
    const hn::Full128<float> d;
    for (std::ptrdiff_t i = 0; i < rows; i += 4)
      for (std::ptrdiff_t j = 0; j < columns; j += 4) {
        const std::ptrdiff_t row = std::min(i, rows - 4), column = std::min(j, columns - 4);
        const float* from = in + row * in_row + column;
        const auto quad =
            transposed(d, hn::LoadU(d, from), hn::LoadU(d, from + in_row),
                       hn::LoadU(d, from + 2 * in_row), hn::LoadU(d, from + 3 * in_row));
        for (int k = 0; k < 4; ++k) hn::StoreU(quad.at[k], d, out + (column + k) * out_row + row);
      }
    return;
  }
#endif
  for (std::ptrdiff_t i = 0; i < rows; ++i)
    for (std::ptrdiff_t j = 0; j < columns; ++j) out[j * out_row + i] = in[i * in_row + j];
}

}  // namespace millrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
