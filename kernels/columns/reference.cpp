#include "kernels/columns/columns.hpp"

namespace millrace::kernels {

void copy_columns_reference(const ColumnsShape& shape, const float* from, float* to) {
  for (std::int64_t r = 0; r < shape.rows; ++r)
    for (std::int64_t c = 0; c < shape.columns; ++c)
      to[r * shape.to_row + c] = from[r * shape.from_row + c];
}

}  // namespace millrace::kernels
