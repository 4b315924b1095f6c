#pragma once
// Convolutions to test: shapes, buffers of all passes, the reference in double.

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "kernels/convolution/convolution.hpp"
#include "tests/kernels/guarded.hpp"

namespace millrace::kernels {

using testing::Edge;
using testing::Guarded;
using Doubles = std::vector<double>;

inline std::string name_of(const ConvolutionShape& s) {
  return std::to_string(s.n) + " x " + std::to_string(s.height) + " x " + std::to_string(s.width) +
         " x " + std::to_string(s.channels) + " -> " + std::to_string(s.filters) + ", " +
         std::to_string(s.taps_y) + " taps, stride " + std::to_string(s.stride_y) + ", pad " +
         std::to_string(s.pad_y) + "/" + std::to_string(s.pad_x);
}

inline ConvolutionShape square(std::int64_t n, std::int64_t side, std::int64_t channels,
                               std::int64_t filters, std::int64_t taps, std::int64_t pad,
                               std::int64_t stride = 1) {
  return {.n = n,
          .height = side,
          .width = side,
          .channels = channels,
          .filters = filters,
          .taps_y = taps,
          .taps_x = taps,
          .stride_y = stride,
          .stride_x = stride,
          .pad_y = pad,
          .pad_x = pad};
}

/// Every size of tile, partial tiles and panels, several blocks, strides, one channel, one sample,
/// weights that are larger than a cache when transformed, and so large that it is done in parts.
inline std::vector<ConvolutionShape> shapes() {
  std::vector<ConvolutionShape> all = {
      square(1, 4, 1, 1, 3, 1),       square(2, 13, 3, 5, 3, 1),    square(3, 6, 17, 33, 3, 0),
      square(1, 8, 16, 16, 3, 1),     square(2, 9, 7, 18, 5, 2),    square(1, 4, 40, 9, 5, 2),
      square(12, 13, 20, 34, 3, 1),   square(1, 60, 2, 3, 3, 1),    square(1, 41, 3, 8, 11, 2, 4),
      square(4, 35, 3, 17, 11, 2, 4), square(2, 23, 2, 5, 6, 1, 2), square(1, 7, 99, 111, 3, 1),
      square(1, 5, 310, 330, 3, 1)};
  all.push_back(square(2, 12, 5, 6, 3, 2));
  all.back().width = 7;
  all.back().pad_x = 0;
  return all;
}

/// What only a direct convolution takes: one pixel, groups, dilation, taps that are not square.
inline std::vector<ConvolutionShape> odd_shapes() {
  std::vector<ConvolutionShape> all = {square(1, 1, 1, 1, 1, 0),    square(3, 5, 4, 6, 1, 0, 2),
                                       square(2, 9, 6, 4, 3, 1, 2), square(1, 8, 3, 2, 8, 0),
                                       square(2, 12, 12, 21, 3, 1), square(2, 9, 8, 12, 3, 0, 3),
                                       square(1, 10, 500, 3, 3, 1), square(1, 3, 130, 2, 3, 2)};
  all[4].groups = 3;
  all[5].groups = 4;
  all[5].dilation_y = all[5].dilation_x = 2;
  ConvolutionShape uneven = square(2, 11, 3, 18, 3, 1);
  uneven.width = 6;
  uneven.taps_x = 2;
  uneven.stride_y = 2;
  uneven.dilation_y = 3;
  uneven.pad_x = 0;
  all.push_back(uneven);
  all.push_back({.n = 2,
                 .height = 1,
                 .width = 30,
                 .channels = 2,
                 .filters = 3,
                 .taps_x = 4,
                 .stride_x = 3,
                 .pad_x = 2,
                 .dilation_x = 2});
  all.push_back({.n = 2,  // every tap lies in the padding
                 .height = 1,
                 .width = 5,
                 .channels = 3,
                 .filters = 4,
                 .taps_y = 2,
                 .pad_y = 1,
                 .dilation_y = 2});
  return all;
}

template <typename Values>
void fill(Values& values, std::uint64_t seed, bool relu = false) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  for (float& value : values) {
    value = normal(random);
    if (relu && value < 0) value = 0;
  }
}

inline std::size_t size_of(std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t d) {
  return static_cast<std::size_t>(a * b * c * d);
}

/// Inputs and outputs of all passes, each next to guarded pages.
template <typename Kernel>
struct Case {
  ConvolutionShape shape;
  Guarded<float> x, w, bias, dy, y, dx, dw, db;
  Kernel kernel;
  Guarded<float> workspace;

  explicit Case(const ConvolutionShape& s, Edge edge = Edge::end,
                const std::optional<Kernel>& made = std::nullopt)
      : shape(s),
        x(size_of(s.n, s.height, s.width, s.channels), edge),
        w(size_of(s.filters, s.channels / s.groups, s.taps_y, s.taps_x), edge),
        bias(size_of(s.filters, 1, 1, 1), edge),
        dy(size_of(s.n, s.out_height(), s.out_width(), s.filters), edge),
        y(dy.size(), edge),
        dx(x.size(), edge),
        dw(w.size(), edge),
        db(bias.size(), edge),
        kernel(made ? *made : Kernel::make(s).value()),
        workspace(static_cast<std::size_t>(kernel.workspace_floats()), Edge::begin) {
    fill(x, 1, true);
    fill(w, 2);
    fill(bias, 3);
    fill(dy, 4);
    for (Guarded<float>* out : {&y, &dx, &dw, &db, &workspace}) {
      for (float& value : *out) value = NAN;  // whatever is left of it shows
    }
  }

  ImageView view() const {
    return {x.data(), shape.height * shape.width * shape.channels, shape.width * shape.channels,
            shape.channels, 1};
  }
  void run(bool relu = false) {
    kernel.forward(view(), w.data(), bias.data(), relu, y.data(), workspace.data());
    kernel.input_gradient(dy.data(), w.data(), nullptr, dx.data(), workspace.data());
    kernel.weight_gradient(view(), dy.data(), false, dw.data(), db.data(), workspace.data());
  }
};

struct Reference {
  Doubles y, dx, dw, db;

  template <typename Kernel>
  explicit Reference(const Case<Kernel>& c)
      : y(c.y.size()), dx(c.dx.size()), dw(c.dw.size()), db(c.db.size()) {
    convolution_reference(c.shape, c.x.data(), c.w.data(), c.bias.data(), y.data());
    convolution_input_gradient_reference(c.shape, c.dy.data(), c.w.data(), dx.data());
    convolution_weight_gradient_reference(c.shape, c.x.data(), c.dy.data(), dw.data(), db.data());
  }
};

inline double rms(const Doubles& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum / static_cast<double>(values.size()));
}

template <typename Values>
double rms_error(const Values& actual, const Doubles& expected) {
  Doubles errors(expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) errors[i] = actual[i] - expected[i];
  return rms(errors);
}

/// 1e-5 of the values' size: 84 units of float32's round-off.
template <typename Values>
void expect_close(const Values& actual, const Doubles& expected, const char* what) {
  EXPECT_LE(rms_error(actual, expected), 1e-5 * rms(expected)) << what;
  const double scale = rms(expected);
  for (std::size_t i = 0; i < expected.size(); ++i)
    ASSERT_NEAR(actual[i], expected[i], 2e-4 * scale + 1e-12) << what << ", element " << i;
}

}  // namespace millrace::kernels
