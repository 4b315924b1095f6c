#include "framework/layers/dropout.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/framework/layers/fixtures.hpp"

namespace millrace::test {
namespace {

TEST(DropoutMask, an_element_does_not_depend_on_who_draws_it) {
  const DrawKey whole{11, 3, 20};
  const at::Tensor mask = dropout_mask(whole, 4, 8, 0, 50, 0.4);
  for (std::int64_t row = 0; row < 8; ++row)
    for (std::int64_t first : {0, 1, 2, 3, 7, 48}) {
      const DrawKey part{11, 3, 20 + row};
      const std::int64_t count = std::min<std::int64_t>(9, 50 - first);
      EXPECT_TRUE(at::equal(dropout_mask(part, 4, 1, first, count, 0.4),
                            mask.narrow(0, row, 1).narrow(1, first, count)))
          << row << " " << first;
    }
}

TEST(DropoutMask, every_part_of_the_key_counts) {
  const auto draw = [](DrawKey key, int layer) { return dropout_mask(key, layer, 1, 0, 256, 0.5); };
  const at::Tensor mask = draw({1, 1, 1}, 1);
  EXPECT_TRUE(at::equal(mask, draw({1, 1, 1}, 1)));
  EXPECT_FALSE(at::equal(mask, draw({2, 1, 1}, 1)));
  EXPECT_FALSE(at::equal(mask, draw({1ULL << 40 | 1, 1, 1}, 1)));
  EXPECT_FALSE(at::equal(mask, draw({1, 2, 1}, 1)));
  EXPECT_FALSE(at::equal(mask, draw({1, 1, 2}, 1)));
  EXPECT_FALSE(at::equal(mask, draw({1, 1, 1}, 2)));
}

TEST(DropoutMask, drops_a_share_of_p_and_scales_the_rest) {
  for (double p : {0.0, 0.1, 0.5, 0.9, 1.0}) {
    const at::Tensor mask = dropout_mask({42, 0, 0}, 0, 100, 0, 1000, p);
    const double dropped = (mask == 0).to(at::kDouble).mean().item<double>();
    EXPECT_NEAR(dropped, p, 0.005) << p;
    if (p < 1) {
      EXPECT_FLOAT_EQ(mask.max().item<float>(), static_cast<float>(1 / (1 - p)));
    }
  }
}

TEST(DropoutMask, no_correlation_between_neighbours) {
  const at::Tensor keep = dropout_mask({9, 0, 0}, 0, 200, 0, 500, 0.5).to(at::kDouble) / 2;
  const at::Tensor centred = keep - keep.mean();
  const auto correlation = [&](std::int64_t dimension) {
    const std::int64_t n = keep.size(dimension) - 1;
    return (centred.narrow(dimension, 0, n) * centred.narrow(dimension, 1, n)).mean() * 4;
  };
  EXPECT_NEAR(correlation(0).item<double>(), 0, 0.02);
  EXPECT_NEAR(correlation(1).item<double>(), 0, 0.02);
}

TEST(DropoutOp, multiplies_by_the_mask_both_ways) {
  const Sample s = sample("dropout", torch::nn::Dropout(0.25), {3, 4, 5});
  const DrawKey key{5, 9, 100};
  const at::Tensor x = random_batch({3, 4, 5}, 6), dy = random_batch({3, 4, 5}, 6);
  const at::Tensor mask = dropout_mask(key, 3, 6, 0, 60, 0.25).view({6, 3, 4, 5});
  const auto op = make_layer_op(s.layer, s.facts, 3, "");
  for (bool overwrite : {false, true}) {
    Saved saved;
    EXPECT_TRUE(at::equal(op->forward(x.clone(), key, true, &saved, overwrite), x * mask));
    EXPECT_TRUE(at::equal(input_gradient(*op, dy.clone(), saved), dy * mask));
  }
}

TEST(DropoutOp, is_off_outside_training_and_repeats_when_recomputed) {
  const Sample s = sample("dropout", torch::nn::Dropout(0.25), {60});
  const auto op = make_layer_op(s.layer, s.facts, 3, "");
  const at::Tensor x = random_batch({60}, 6);
  EXPECT_TRUE(at::equal(op->forward(x, {5, 9, 0}, false, nullptr, false), x));
  const at::Tensor first = op->forward(x, {5, 9, 0}, true, nullptr, false);
  Saved saved;
  EXPECT_TRUE(at::equal(op->forward(x, {5, 9, 0}, true, &saved, false), first));
}

}  // namespace
}  // namespace millrace::test
