#include "kernels/columns/columns.hpp"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <algorithm>

#include "tests/kernels/guarded.hpp"

namespace millrace::kernels {
namespace {

using testing::Edge;
using testing::Guarded;

class Columns : public ::testing::TestWithParam<std::int64_t> {
 protected:
  void TearDown() override { hwy::SetSupportedTargetsForTest(0); }
};

/// What lies between the columns stays as it is.
TEST_P(Columns, AreTheReference) {
  for (const std::int64_t targets : {std::int64_t{0}, std::int64_t{HWY_STATIC_TARGET}})
    for (const Edge guard : {Edge::begin, Edge::end})
      for (const std::int64_t rows : {1, 255, 600}) {
        SCOPED_TRACE(::testing::Message() << targets << " " << rows << " rows");
        hwy::SetSupportedTargetsForTest(targets);
        const ColumnsShape shape{rows, GetParam(), GetParam() + 2, GetParam() + 5};
        const auto size = [&](std::int64_t row) {
          return static_cast<std::size_t>((rows - 1) * row + shape.columns);
        };
        Guarded<float> from(size(shape.from_row), guard), to(size(shape.to_row), guard),
            expected(size(shape.to_row), guard);
        for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<float>(i + 1);
        copy_columns_reference(shape, from.data(), expected.data());
        copy_columns_cpu(shape, from.data(), to.data());
        EXPECT_TRUE(std::equal(to.begin(), to.end(), expected.begin()));
      }
}

INSTANTIATE_TEST_SUITE_P(Widths, Columns, ::testing::Values(1, 3, 8, 17, 64, 100));

}  // namespace
}  // namespace millrace::kernels
