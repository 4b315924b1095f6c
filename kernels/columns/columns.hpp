#pragma once
// Columns of one matrix to columns of another: concatenation, and its gradient.

#include <cstdint>

namespace millrace::kernels {

/// `rows` rows of `columns` floats each; row r of the source begins at r * from_row, of the
/// destination at r * to_row.
struct ColumnsShape {
  std::int64_t rows = 0, columns = 0, from_row = 0, to_row = 0;
};

/// Versions: _reference, _cpu (on the calling thread's OpenMP team); the same in both. The two do
/// not overlap. Reads and writes rows * columns floats.
void copy_columns_reference(const ColumnsShape& shape, const float* from, float* to);
void copy_columns_cpu(const ColumnsShape& shape, const float* from, float* to);

}  // namespace millrace::kernels
