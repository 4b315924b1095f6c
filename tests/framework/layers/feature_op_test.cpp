#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "framework/layers/layer_op.hpp"
#include "millrace/errors.hpp"
#include "tests/framework/layers/fixtures.hpp"

namespace millrace::test {
namespace {

namespace nn = torch::nn;

/// All slices of a layer, run in turn on whole activations.
struct Slices {
  Slices(const Sample& s, const std::vector<double>& shares) : facts(s.facts) {
    for (int i = 0; i < std::ssize(shares); ++i)
      ops.push_back(make_feature_op(s.layer, s.facts, 2, slice_of(shares, i)));
    saved.resize(ops.size());
  }

  at::Tensor forward(const at::Tensor& x, const DrawKey& key, bool training) {
    at::Tensor y = at::full({x.size(0), facts.output_shape[0]}, NAN);
    for (std::size_t i = 0; i < ops.size(); ++i)
      ops[i]->forward(x, y, key, training, training ? &saved[i] : nullptr);
    return y;
  }

  at::Tensor backward(const at::Tensor& dy) {
    at::Tensor dx = at::full({dy.size(0), facts.input_shape[0]}, NAN);
    for (std::size_t i = 0; i < ops.size(); ++i) ops[i]->backward(dy, dx, saved[i], true);
    return dx;
  }

  at::Tensor gradient(std::size_t parameter) {
    std::vector<at::Tensor> parts;
    for (const auto& op : ops) parts.push_back(gradient_of(op->parameters()[parameter]));
    return at::cat(parts);
  }

  LayerFacts facts;
  std::vector<std::unique_ptr<FeatureOp>> ops;
  std::vector<Saved> saved;
};

std::vector<Sample> deterministic_samples() {
  torch::manual_seed(5);
  return {sample("linear", nn::Linear(13, 11), {13}),
          sample("linear", nn::Linear(nn::LinearOptions(6, 3).bias(false)), {6}),
          sample("relu", nn::ReLU(), {10})};
}

TEST(FeatureOp, slices_together_equal_the_whole_layer) {
  for (Sample& s : deterministic_samples())
    for (const std::vector<double>& shares :
         {equal_shares(1), equal_shares(2), equal_shares(3), {0.8, 0.2}, {0.02, 0.9, 0.08}}) {
      SCOPED_TRACE(s.facts.type + " in " + testing::PrintToString(shares));
      const at::Tensor x = random_batch(s.facts.input_shape, 4);
      const at::Tensor dy = random_batch(s.facts.output_shape, 4);
      const Answer expected = plain(s, x, dy);
      Slices slices(s, shares);
      expect_close(slices.forward(x, {}, true), expected.y, "y");
      expect_close(slices.backward(dy), expected.dx, "dx");
      for (std::size_t i = 0; i < expected.gradients.size(); ++i)
        expect_close(slices.gradient(i), expected.gradients[i], "gradient");
    }
}

/// The same bits wherever the layer is cut, so that another plan for unlike cores changes nothing.
TEST(FeatureOp, bits_do_not_depend_on_the_slices) {
  torch::manual_seed(6);
  for (const auto& [in, out] : {std::pair{2100, 2050}, {90, 37}})
    for (const std::int64_t samples : {3, 33}) {
      Sample s = sample("linear", nn::Linear(in, out), {in});
      const at::Tensor x = random_batch({in}, samples), dy = random_batch({out}, samples);
      Slices even(s, equal_shares(2)), uneven(s, {0.71, 0.29});
      EXPECT_TRUE(at::equal(uneven.forward(x, {}, true), even.forward(x, {}, true)));
      EXPECT_TRUE(at::equal(uneven.backward(dy), even.backward(dy)));
      for (const std::size_t parameter : {0, 1})
        EXPECT_TRUE(at::equal(uneven.gradient(parameter), even.gradient(parameter)));
    }
}

TEST(FeatureSlice, neighbours_meet_at_every_share) {
  const std::vector<double> shares = {0.1, 0.3, 0.25, 0.35};
  EXPECT_EQ(slice_of(shares, 0).begin, 0);
  for (int i = 1; i < 4; ++i) EXPECT_EQ(slice_of(shares, i).begin, slice_of(shares, i - 1).end);
  EXPECT_EQ(slice_of(shares, 3).end, 1);
}

TEST(FeatureOp, adds_gradients_until_they_are_cleared) {
  Sample s = deterministic_samples()[0];
  Slices slices(s, equal_shares(2));
  const at::Tensor x = random_batch(s.facts.input_shape, 4), dy = random_batch({11}, 4);
  const Answer expected = plain(s, x, dy);
  for (double factor : {1.0, 2.0}) {
    slices.forward(x, {}, true);
    slices.backward(dy);
    expect_close(slices.gradient(0), expected.gradients[0] * factor, "weight");
    expect_close(slices.gradient(1), expected.gradients[1] * factor, "bias");
  }
  for (const auto& op : slices.ops) op->clear_gradients();
  slices.forward(x, {}, true);
  slices.backward(dy);
  expect_close(slices.gradient(0), expected.gradients[0], "weight after clearing");
}

TEST(FeatureOp, dropout_draws_the_masks_of_the_whole_layer) {
  const Sample s = sample("dropout", nn::Dropout(0.3), {10});
  const DrawKey key{7, 2, 5};
  const at::Tensor x = random_batch({10}, 4), dy = random_batch({10}, 4);
  const at::Tensor mask = dropout_mask(key, 2, 4, 0, 10, 0.3);
  Slices slices(s, {0.2, 0.5, 0.3});
  EXPECT_TRUE(at::equal(slices.forward(x, key, true), x * mask));
  EXPECT_TRUE(at::equal(slices.backward(dy), dy * mask));
  EXPECT_TRUE(at::equal(slices.forward(x, key, false), x));
}

TEST(FeatureOp, elementwise_layers_may_work_in_place) {
  const Sample s = sample("relu", nn::ReLU(), {10});
  at::Tensor x = random_batch({10}, 4);
  const at::Tensor expected = x.clamp_min(0);
  for (int i : {0, 1}) {
    Saved saved;
    make_feature_op(s.layer, s.facts, 0, slice_of(equal_shares(2), i))
        ->forward(x, x, {}, true, &saved);
  }
  EXPECT_TRUE(at::equal(x, expected));
}

TEST(FeatureOp, refuses_layers_that_have_no_features_to_divide) {
  const Sample conv = sample("conv2d", nn::Conv2d(3, 4, 3), {3, 8, 8});
  EXPECT_FALSE(can_split_features(conv.facts));
  EXPECT_THROW(make_feature_op(conv.layer, conv.facts, 0, {}), InternalError);
  EXPECT_FALSE(can_split_features(sample("relu", nn::ReLU(), {3, 8, 8}).facts));
  EXPECT_TRUE(can_split_features(sample("dropout", nn::Dropout(), {8}).facts));
}

}  // namespace
}  // namespace millrace::test
