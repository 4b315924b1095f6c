#include "framework/stages/rows.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "millrace/errors.hpp"

namespace millrace::test {
namespace {

TEST(WorkerRows, every_sample_belongs_to_one_worker) {
  for (const std::vector<std::int64_t>& shares :
       {std::vector<std::int64_t>{4}, {3, 1}, {2, 0, 2}, {1, 1, 1, 1}})
    for (std::int64_t batch : {1, 3, 4, 9, 12}) {
      std::int64_t next = 0;
      for (std::int64_t m = 0; m < micro_batches_of(batch, 4); ++m)
        for (int w = 0; w < static_cast<int>(shares.size()); ++w) {
          const WorkerRows rows = rows_of(shares, w, 4, m, batch);
          EXPECT_EQ(rows.micro_batch, m);
          EXPECT_EQ(rows.first_sample, 4 * m);
          EXPECT_EQ(rows.samples, std::min<std::int64_t>(4, batch - 4 * m));
          EXPECT_EQ(rows.first_sample + rows.begin, next);
          next += rows.count;
        }
      EXPECT_EQ(next, batch);
    }
}

TEST(WorkerRows, a_smaller_last_micro_batch_is_divided_alike) {
  const WorkerRows first = rows_of({3, 1}, 0, 4, 2, 10), second = rows_of({3, 1}, 1, 4, 2, 10);
  EXPECT_EQ(first.count,
            2);  // 3/4 and 1/4 of two rows: the largest remainder, then the lower index
  EXPECT_EQ(second.count, 0);
}

class GatherRows : public testing::Test {
 protected:
  const at::Tensor whole = at::arange(12, at::kFloat).view({6, 2});
  // parts of 3, 0 and 3 rows, as workers hand them over
  const std::vector<Payload> parts = {to_payload(0, {whole.narrow(0, 0, 3)}),
                                      to_payload(3, {at::Tensor()}),
                                      to_payload(3, {whole.narrow(0, 3, 3)})};
};

TEST_F(GatherRows, rows_of_one_part_are_not_copied) {
  const at::Tensor rows = gather_rows(parts, 0, 4, 2);
  EXPECT_TRUE(rows.is_alias_of(whole));
  EXPECT_TRUE(at::equal(rows, whole.narrow(0, 4, 2)));
}

TEST_F(GatherRows, rows_of_several_parts_are_put_together) {
  for (std::int64_t first = 0; first < 6; ++first)
    for (std::int64_t count = 1; first + count <= 6; ++count)
      EXPECT_TRUE(at::equal(gather_rows(parts, 0, first, count), whole.narrow(0, first, count)));
}

TEST_F(GatherRows, no_rows_are_no_tensor) { EXPECT_FALSE(gather_rows(parts, 0, 3, 0).defined()); }

TEST_F(GatherRows, values_go_together) {
  const at::Tensor other = at::randn({6, 2});
  const std::vector<Payload> both = {
      to_payload(0, {whole.narrow(0, 0, 4), at::Tensor(), other.narrow(0, 0, 4)}),
      to_payload(4, {whole.narrow(0, 4, 2), at::Tensor(), other.narrow(0, 4, 2)})};
  EXPECT_TRUE(at::equal(gather_rows(both, 0, 2, 3), whole.narrow(0, 2, 3)));
  EXPECT_TRUE(at::equal(gather_rows(both, 2, 2, 3), other.narrow(0, 2, 3)));
  EXPECT_THROW(gather_rows(both, 1, 2, 3), InternalError);
}

TEST_F(GatherRows, missing_rows_are_a_bug) {
  EXPECT_THROW(gather_rows(parts, 0, 4, 3), InternalError);
  EXPECT_THROW(gather_rows({parts[0]}, 0, 0, 6), InternalError);
}

TEST_F(GatherRows, channels_last_stays_channels_last) {
  const at::Tensor image = at::randn({4, 3, 5, 5}).contiguous(at::MemoryFormat::ChannelsLast);
  const std::vector<Payload> halves = {to_payload(0, {image.narrow(0, 0, 2)}),
                                       to_payload(2, {image.narrow(0, 2, 2)})};
  const at::Tensor rows = gather_rows(halves, 0, 1, 2);
  EXPECT_TRUE(rows.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(at::equal(rows, image.narrow(0, 1, 2)));
}

}  // namespace
}  // namespace millrace::test
