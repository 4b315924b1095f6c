#include "kernels/fully_connected/fully_connected.hpp"

#include <gtest/gtest.h>
#include <hwy/targets.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <tuple>
#include <vector>

#include "tests/kernels/guarded.hpp"
#include "tests/kernels/precisions.hpp"

namespace millrace::kernels {
namespace {

using testing::Edge;
using GuardedFloats = testing::Guarded<float>;

constexpr float kUntouched = 12345;
constexpr double kRoundOff = 0x1p-24;

/// [rows, columns] with `gap` floats of somebody else between the rows.
class GuardedMatrix {
 public:
  GuardedMatrix(std::int64_t rows, std::int64_t columns, std::int64_t gap, Edge guard)
      : rows_(rows),
        columns_(columns),
        stride_(columns + gap),
        floats_((rows - 1) * stride_ + columns, guard) {
    for (std::int64_t i = 0; i < (rows - 1) * stride_ + columns; ++i)
      floats_.data()[i] = kUntouched;
  }

  void randomise(unsigned seed) {
    std::minstd_rand random(seed);
    std::normal_distribution<float> normal;
    for_each([&](float& value) { value = normal(random); });
  }
  void make_absolute() {
    for_each([](float& value) { value = std::abs(value); });
  }
  template <typename Body>
  void for_each(const Body& body) {
    for (std::int64_t r = 0; r < rows_; ++r)
      for (std::int64_t c = 0; c < columns_; ++c) body(floats_.data()[r * stride_ + c]);
  }

  void round_to_bf16() {
    for_each([](float& value) { value = low_of_pair(pair_of(value, 0)); });
  }

  operator ConstMatrix() const { return {floats_.data(), stride_}; }
  operator Matrix() { return {floats_.data(), stride_}; }

  float at(std::int64_t r, std::int64_t c) const { return floats_.data()[r * stride_ + c]; }
  void expect_gaps_untouched() const {
    for (std::int64_t r = 0; r + 1 < rows_; ++r)
      for (std::int64_t c = columns_; c < stride_; ++c) ASSERT_EQ(at(r, c), kUntouched);
  }

  /// Within the error that a sum of `inner` products may have; `magnitudes` are sums of absolute
  /// values.
  void expect_near(const GuardedMatrix& reference, const GuardedMatrix& magnitudes,
                   std::int64_t inner) const {
    for (std::int64_t r = 0; r < rows_; ++r)
      for (std::int64_t c = 0; c < columns_; ++c) {
        const double most = double(inner + 2) * kRoundOff * magnitudes.at(r, c);
        ASSERT_NEAR(at(r, c), reference.at(r, c), most) << "at " << r << ", " << c;
      }
  }
  void expect_same_bits(const GuardedMatrix& other) const {
    for (std::int64_t r = 0; r < rows_; ++r)
      for (std::int64_t c = 0; c < columns_; ++c) ASSERT_EQ(at(r, c), other.at(r, c));
  }

 private:
  std::int64_t rows_, columns_, stride_;
  GuardedFloats floats_;
};

/// A layer on guarded buffers.
struct Operands {
  Operands(const FullyConnectedSize& s, std::int64_t gap, Edge guard)
      : size(s),
        x(s.n, s.in, gap, guard),
        w(s.out, s.in, gap, guard),
        bias(1, s.out, 0, guard),
        dy(s.n, s.out, gap, guard),
        workspace(fully_connected_workspace(s), guard) {
    unsigned seed = 1;
    for (GuardedMatrix* matrix : {&x, &w, &bias, &dy}) matrix->randomise(seed++);
  }
  const float* bias_data() const { return ConstMatrix(bias).data; }
  void make_absolute() {
    for (GuardedMatrix* matrix : {&x, &w, &bias, &dy}) matrix->make_absolute();
  }
  void round_to_bf16() {
    for (GuardedMatrix* matrix : {&x, &w, &dy}) matrix->round_to_bf16();
  }

  FullyConnectedSize size;
  GuardedMatrix x, w, bias, dy;
  GuardedFloats workspace;
};

/// All tiles of dW, from parts of the given numbers of samples.
void form_weight_gradient(Operands& operands, Precision precision,
                          const std::vector<std::int64_t>& parts, Matrix dw) {
  const FullyConnectedSize& size = operands.size;
  GuardedFloats workspace(WeightGradient::workspace(size), Edge::end);
  WeightGradient gradient(size, precision, workspace.data());
  std::int64_t first = 0;
  for (const std::int64_t n : parts) {
    const ConstMatrix x = operands.x, dy = operands.dy;
    gradient.add(first, n, {x.data + first * x.stride, x.stride},
                 {dy.data + first * dy.stride, dy.stride});
    first += n;
  }
  const ConstMatrix near[] = {operands.w};
  for (std::int64_t block = 0; block < gradient.blocks(); ++block)
    gradient.for_each_tile(block, near, [&](const WeightGradient::Tile& tile) {
      for (std::int64_t r = 0; r < tile.rows; ++r)
        std::copy_n(tile.values + r * WeightGradient::kTileColumns, tile.columns,
                    dw.data + (tile.o + r) * dw.stride + tile.i);
    });
}

/// What the machine offers at best, or what every machine has.
enum class Instructions { best, baseline };

using Case = std::tuple<FullyConnectedSize, std::int64_t, Edge, Instructions, Precision>;

class FullyConnected : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (std::get<3>(GetParam()) == Instructions::baseline)
      hwy::SetSupportedTargetsForTest(HWY_STATIC_TARGET);
    if (precision == Precision::fp32) return;
    if (!computes(precision)) GTEST_SKIP() << "this CPU has AVX-512, but not AVX512-BF16";
    operands.round_to_bf16();  // its products are then exact, as float32's are taken to be
  }
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }

  FullyConnectedSize size = std::get<0>(GetParam());
  std::int64_t gap = std::get<1>(GetParam());
  Edge guard = std::get<2>(GetParam());
  Precision precision = std::get<4>(GetParam());
  Operands operands{size, gap, guard};

  GuardedMatrix matrix(std::int64_t rows, std::int64_t columns) const {
    return {rows, columns, gap, guard};
  }
};

TEST_P(FullyConnected, ForwardIsTheReference) {
  GuardedMatrix y = matrix(size.n, size.out), expected = matrix(size.n, size.out),
                magnitudes = matrix(size.n, size.out);
  fully_connected_forward(size, precision, operands.x, operands.w, operands.bias_data(), false, y,
                          operands.workspace.data());
  fully_connected_forward_reference(size, operands.x, operands.w, operands.bias_data(), false,
                                    expected);
  GuardedMatrix positive = matrix(size.n, size.out);
  fully_connected_forward(size, precision, operands.x, operands.w, operands.bias_data(), true,
                          positive, operands.workspace.data());
  operands.make_absolute();
  fully_connected_forward_reference(size, operands.x, operands.w, operands.bias_data(), false,
                                    magnitudes);
  y.expect_near(expected, magnitudes, size.in);
  y.expect_gaps_untouched();
  y.for_each([](float& value) { value = std::max(value, 0.0F); });
  positive.expect_same_bits(y);
}

TEST_P(FullyConnected, InputGradientIsTheReference) {
  GuardedMatrix dx = matrix(size.n, size.in), expected = matrix(size.n, size.in),
                magnitudes = matrix(size.n, size.in);
  fully_connected_input_gradient(size, precision, operands.dy, operands.w, dx,
                                 operands.workspace.data());
  fully_connected_input_gradient_reference(size, operands.dy, operands.w, expected);
  operands.make_absolute();
  fully_connected_input_gradient_reference(size, operands.dy, operands.w, magnitudes);
  dx.expect_near(expected, magnitudes, size.out);
  dx.expect_gaps_untouched();
}

TEST_P(FullyConnected, WeightGradientIsTheReference) {
  GuardedMatrix dw = matrix(size.out, size.in), expected = matrix(size.out, size.in),
                magnitudes = matrix(size.out, size.in);
  form_weight_gradient(operands, precision, {size.n}, dw);
  fully_connected_weight_gradient_reference(size, operands.x, operands.dy, expected);
  operands.make_absolute();
  fully_connected_weight_gradient_reference(size, operands.x, operands.dy, magnitudes);
  dw.expect_near(expected, magnitudes, size.n);
  dw.expect_gaps_untouched();
}

TEST_P(FullyConnected, PartsAndThreadsChangeNoBit) {
  GuardedMatrix whole = matrix(size.out, size.in), parts = matrix(size.out, size.in);
  form_weight_gradient(operands, precision, {size.n}, whole);
  form_weight_gradient(operands, precision, {size.n / 3, size.n - size.n / 3}, parts);
  whole.expect_same_bits(parts);

  GuardedMatrix y1 = matrix(size.n, size.out), y3 = matrix(size.n, size.out);
  GuardedMatrix dx1 = matrix(size.n, size.in), dx3 = matrix(size.n, size.in);
  const int threads = omp_get_max_threads();
  for (const int team : {1, 3}) {
    omp_set_num_threads(team);
    float* workspace = operands.workspace.data();
    fully_connected_forward(size, precision, operands.x, operands.w, nullptr, false,
                            team == 1 ? y1 : y3, workspace);
    fully_connected_input_gradient(size, precision, operands.dy, operands.w, team == 1 ? dx1 : dx3,
                                   workspace);
  }
  omp_set_num_threads(threads);
  y1.expect_same_bits(y3);
  dx1.expect_same_bits(dx3);
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, FullyConnected,
    ::testing::Combine(
        ::testing::Values(FullyConnectedSize{1, 1, 1}, FullyConnectedSize{1, 300, 7},
                          FullyConnectedSize{2, 9, 5}, FullyConnectedSize{3, 7, 131},
                          FullyConnectedSize{4, 33, 50}, FullyConnectedSize{5, 1, 1},
                          FullyConnectedSize{5, 17, 49}, FullyConnectedSize{6, 1, 48},
                          FullyConnectedSize{7, 513, 13}, FullyConnectedSize{17, 259, 97},
                          FullyConnectedSize{64, 128, 96}, FullyConnectedSize{130, 40, 3},
                          FullyConnectedSize{261, 21, 10}),
        ::testing::Values(0, 3), ::testing::Values(Edge::begin, Edge::end),
        ::testing::Values(Instructions::best, Instructions::baseline),
        ::testing::Values(Precision::fp32, Precision::bf16)));

}  // namespace
}  // namespace millrace::kernels
