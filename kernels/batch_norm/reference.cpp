#include <algorithm>
#include <cmath>

#include "kernels/batch_norm/batch_norm.hpp"

namespace millrace::kernels {
namespace {

/// Element i of dy, 0 where a relu behind cut y off. y in float32, as every version makes it.
double passed(const NormShape& shape, const NormLine& line, const float* x, const float* dy,
              std::int64_t i) {
  const std::int64_t c = i % shape.channels;
  const float y = std::fma(x[i], line.scale[c], line.shift[c]);
  const bool above = y >= line.most && std::isfinite(line.most);
  return line.relu && (y <= 0 || above) ? 0 : dy[i];
}

}  // namespace

void norm_statistics_reference(const NormShape& shape, const float* x, double* mean,
                               double* deviations) {
  for (std::int64_t c = 0; c < shape.channels; ++c) {
    double sum = 0, squares = 0;
    for (std::int64_t r = 0; r < shape.rows; ++r) sum += x[r * shape.channels + c];
    mean[c] = sum / static_cast<double>(shape.rows);
    for (std::int64_t r = 0; r < shape.rows; ++r) {
      const double deviation = x[r * shape.channels + c] - mean[c];
      squares += deviation * deviation;
    }
    deviations[c] = squares;
  }
}

void norm_reference(const NormShape& shape, const NormLine& line, const float* x, float* y) {
  for (std::int64_t i = 0; i < shape.rows * shape.channels; ++i) {
    const std::int64_t c = i % shape.channels;
    const double value = double{x[i]} * line.scale[c] + line.shift[c];
    y[i] = static_cast<float>(line.relu ? std::clamp(value, 0.0, double{line.most}) : value);
  }
}

void norm_gradient_sums_reference(const NormShape& shape, const NormLine& line, const float* mean,
                                  const float* x, const float* dy, double* sum, double* product) {
  std::fill_n(sum, shape.channels, 0.0);
  std::fill_n(product, shape.channels, 0.0);
  for (std::int64_t i = 0; i < shape.rows * shape.channels; ++i) {
    const std::int64_t c = i % shape.channels;
    const double gradient = passed(shape, line, x, dy, i);
    sum[c] += gradient;
    product[c] += gradient * (double{x[i]} - mean[c]);
  }
}

void norm_gradient_reference(const NormShape& shape, const NormLine& line,
                             const NormGradient& gradient, const float* x, const float* dy,
                             float* dx) {
  for (std::int64_t i = 0; i < shape.rows * shape.channels; ++i) {
    const std::int64_t c = i % shape.channels;
    dx[i] = static_cast<float>(gradient.a[c] * passed(shape, line, x, dy, i) +
                               gradient.b[c] * (double{x[i]} - gradient.mean[c]) + gradient.c[c]);
  }
}

}  // namespace millrace::kernels
