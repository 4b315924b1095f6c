#pragma once
// Sums of gradients. Versions: _reference (in double), _cpu (Highway, on the calling thread). The
// same input gives the same bits in every run of a version on the same instruction set.

#include <cstdint>

namespace millrace::kernels {

/// Sum of n squared numbers, in double. Reads n floats.
double sum_of_squares_reference(const float* x, std::int64_t n);
double sum_of_squares_cpu(const float* x, std::int64_t n);

/// to[i] += x[i]; the same in every version. Reads 2 n floats, writes n.
void add_reference(const float* x, std::int64_t n, float* to);
void add_cpu(const float* x, std::int64_t n, float* to);

/// x [rows, columns], row r at x + r * row.
struct SumShape {
  std::int64_t rows = 0, columns = 0, row = 0;
};

/// sums[c] of column c, added to what is there where `add`: a bias's gradient. _cpu sums in float32
/// over runs of 64 rows. Reads rows * columns floats.
void column_sums_reference(const SumShape& shape, const float* x, bool add, float* sums);
void column_sums_cpu(const SumShape& shape, const float* x, bool add, float* sums);

}  // namespace millrace::kernels
