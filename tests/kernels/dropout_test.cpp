#include "kernels/dropout/dropout.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "tests/kernels/guarded.hpp"

namespace millrace::kernels {
namespace {

using testing::Edge;
using ::testing::ElementsAreArray;
using testing::Guarded;

/// Rows of floats, in memory that ends where the last row does.
struct Rows : Guarded<float> {
  Rows(const DropoutRows& rows, std::int64_t row, Edge guard)
      : Guarded(static_cast<std::size_t>((rows.rows - 1) * row + rows.elements), guard) {
    for (std::size_t i = 0; i < size(); ++i) (*this)[i] = 1 + static_cast<float>(i % 97) / 8;
  }
};

TEST(Dropout, ReferenceDrawsThePublishedWords) {
  // Random123's known answers for Philox 4x32-10: all bits 0, all bits 1.
  const std::vector<std::uint32_t> zeros = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
                                   ones = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
  const std::uint32_t all = std::numeric_limits<std::uint32_t>::max();
  for (const double p : {0.4, 0.45, 0.6, 0.7, 0.9}) {
    float x[4] = {1, 1, 1, 1}, y[4];
    std::uint8_t keep[4];
    const auto expect = [&](const std::vector<std::uint32_t>& words) {
      for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(keep[i], words[i] >= p * 0x1p32) << i;
    };
    dropout_reference({0, 0, 0, 0, p}, {1, 0, 4, 4, 4}, x, y, keep);
    expect(zeros);
    const std::int64_t last_block = std::int64_t{4} * all;
    dropout_reference({~std::uint64_t{0}, all, all, all, p}, {1, last_block, 4, 4, 4}, x, y, keep);
    expect(ones);
  }
}

class DropoutCpu : public ::testing::TestWithParam<std::int64_t> {
 protected:
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }

  /// The same bits from every version, whole and dense or with rows apart.
  static void expect_reference(const DropoutDraw& draw, const DropoutRows& rows, Edge guard) {
    const Rows x(rows, rows.from_row, guard);
    Rows y(rows, rows.to_row, guard), expected(rows, rows.to_row, guard);
    const auto kept = static_cast<std::size_t>(rows.rows * rows.elements);
    Guarded<std::uint8_t> keep(kept, guard), expected_keep(kept, guard);
    dropout_reference(draw, rows, x.data(), expected.data(), expected_keep.data());
    dropout_cpu(draw, rows, x.data(), y.data(), keep.data());
    const auto same = [](auto& a, auto& b) { return std::equal(a.begin(), a.end(), b.begin()); };
    EXPECT_TRUE(same(keep, expected_keep));
    EXPECT_TRUE(same(y, expected));
    dropout_gradient_reference(draw.p, rows, keep.data(), x.data(), expected.data());
    dropout_gradient_cpu(draw.p, rows, keep.data(), x.data(), y.data());
    EXPECT_TRUE(same(y, expected));
  }
};

TEST_P(DropoutCpu, IsTheReference) {
  const std::int64_t elements = GetParam();
  for (const std::int64_t targets : {std::int64_t{0}, std::int64_t{HWY_STATIC_TARGET}}) {
    hwy::SetSupportedTargetsForTest(targets);
    for (const double p : {0.0, 1e-10, 0.1, 0.5, 0.75, 1 - 1e-12, 1.0})
      for (const std::int64_t first : {0, 1, 3, 4097})
        for (const Edge guard : {Edge::begin, Edge::end}) {
          SCOPED_TRACE(::testing::Message() << targets << " p " << p << " first " << first);
          expect_reference({0x123456789abcdefULL, 7, 3, 40, p},
                           {5, first, elements, elements + 3, elements + 1}, guard);
        }
  }
}

TEST_P(DropoutCpu, WorksInPlace) {
  const std::int64_t elements = GetParam();
  const DropoutRows rows{3, 2, elements, elements, elements};
  Rows x(rows, elements, Edge::end), y(rows, elements, Edge::end);
  Guarded<std::uint8_t> keep(static_cast<std::size_t>(3 * elements));
  dropout_cpu({}, rows, x.data(), y.data(), keep.data());
  dropout_cpu({}, rows, x.data(), x.data(), keep.data());
  EXPECT_THAT(std::vector<float>(x.begin(), x.end()), ElementsAreArray(y.begin(), y.end()));
}

INSTANTIATE_TEST_SUITE_P(Elements, DropoutCpu,
                         ::testing::Values(1, 3, 4, 7, 31, 32, 33, 64, 257, 10'000));

}  // namespace
}  // namespace millrace::kernels
