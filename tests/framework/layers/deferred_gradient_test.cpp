#include "framework/layers/deferred_gradient.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/framework/layers/fixtures.hpp"

namespace millrace::test {
namespace {

/// Samples 0 … 9 of one weight [50, 700].
struct Rows {
  at::Tensor weight = at::zeros({50, 700}), x = at::randn({10, 700}), dy = at::randn({10, 50});

  ParameterSlot slot(const std::vector<std::pair<int, int>>& parts) const {
    ParameterSlot made{"weight", weight, {}, true, {}};
    for (const auto& [first, n] : parts)
      made.products.push_back({first, x.narrow(0, first, n), dy.narrow(0, first, n)});
    return made;
  }
};

/// Of the replicas together, column range by column range; NaN where nothing came.
at::Tensor formed(const std::vector<ParameterSlot>& replicas, int parts) {
  std::vector<const ParameterSlot*> slots;
  for (const ParameterSlot& slot : replicas) slots.push_back(&slot);
  const at::Tensor gradient = at::full({50, 700}, NAN);
  float* const data = gradient.data_ptr<float>();
  for (int part = 0; part < parts; ++part)
    DeferredGradient(slots, columns_between(700, 1.0 * part / parts, (1.0 + part) / parts))
        .for_each_run({data},
                      [&](std::int64_t, std::int64_t first, const float* values, std::int64_t n) {
                        EXPECT_TRUE(std::isnan(data[first])) << "came twice";
                        std::copy_n(values, n, data + first);
                      });
  return gradient;
}

TEST(DeferredGradient, is_the_product_of_all_rows) {
  const Rows rows;
  expect_close(formed({rows.slot({{0, 10}})}, 1), rows.dy.t().mm(rows.x), "gradient");
}

TEST(DeferredGradient, does_not_depend_on_replicas_and_order_and_columns_to_the_bit) {
  const Rows rows;
  const at::Tensor expected = formed({rows.slot({{0, 10}})}, 1);
  for (int parts : {1, 2, 3, 60}) {
    EXPECT_TRUE(at::equal(formed({rows.slot({{4, 6}, {0, 4}})}, parts), expected));
    EXPECT_TRUE(at::equal(
        formed({rows.slot({{5, 2}, {0, 3}}), rows.slot({}), rows.slot({{3, 2}, {7, 3}})}, parts),
        expected));
  }
}

TEST(DeferredGradient, parts_share_no_cache_line) {
  for (int parts : {1, 2, 3, 7})
    for (std::int64_t columns : {1, 16, 17, 700}) {
      std::int64_t next = 0;
      for (int part = 0; part < parts; ++part) {
        const ColumnRange range =
            columns_between(columns, 1.0 * part / parts, (1.0 + part) / parts);
        EXPECT_EQ(range.begin, next);
        EXPECT_TRUE(range.empty() || range.begin % 16 == 0);
        next = range.end;
      }
      EXPECT_EQ(next, columns);
    }
}

}  // namespace
}  // namespace millrace::test
