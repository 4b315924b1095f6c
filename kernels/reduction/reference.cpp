#include "kernels/reduction/reduction.hpp"

namespace millrace::kernels {

double sum_of_squares_reference(const float* x, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += double{x[i]} * x[i];
  return sum;
}

void add_reference(const float* x, std::int64_t n, float* to) {
  for (std::int64_t i = 0; i < n; ++i) to[i] += x[i];
}

void column_sums_reference(const SumShape& shape, const float* x, bool add, float* sums) {
  for (std::int64_t c = 0; c < shape.columns; ++c) {
    double sum = add ? sums[c] : 0;
    for (std::int64_t r = 0; r < shape.rows; ++r) sum += x[r * shape.row + c];
    sums[c] = static_cast<float>(sum);
  }
}

}  // namespace millrace::kernels
