#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/framework/layers/fixtures.hpp"

namespace millrace::test {
namespace {

namespace nn = torch::nn;

/// The module in training mode under autograd, and a copy of it as an op.
class BatchNorm : public ::testing::TestWithParam<bool> {
 protected:
  static Sample normalisation() {
    if (GetParam()) return sample("batch_norm", nn::BatchNorm2d(5), {5, 4, 3});
    return sample("batch_norm", nn::BatchNorm1d(nn::BatchNormOptions(5).momentum(0.3)), {5});
  }
  static at::Tensor running_var(const Sample& s) {
    return s.layer.module.ptr()->named_buffers()["running_var"];
  }
};

TEST_P(BatchNorm, TrainsAsLibTorch) {
  torch::manual_seed(3);
  Sample plain = normalisation(), own = normalisation();
  const auto op = make_layer_op(own.layer, own.facts, 0, "");
  for (int step = 0; step < 2; ++step) {
    const at::Tensor x = random_batch(own.facts.input_shape, 6) * 3 + 7;
    const at::Tensor dy = random_batch(own.facts.output_shape, 6);
    plain.layer.module.ptr()->train();
    const at::Tensor leaf = x.clone().requires_grad_();
    const at::Tensor y = plain.layer.module.forward(leaf);
    auto wanted = plain.layer.module.ptr()->parameters();
    wanted.push_back(leaf);
    const auto expected = torch::autograd::grad({y}, wanted, {dy});
    Saved saved;
    op->clear_gradients();
    expect_close(op->forward(x, {}, true, &saved, false), y.detach(), "y");
    expect_close(input_gradient(*op, dy, saved), expected[2], "dx", 1e-4);
    expect_close(op->parameters()[0].gradient, expected[0], "gamma", 1e-4);
    expect_close(op->parameters()[1].gradient, expected[1], "beta");
    EXPECT_FALSE(at::equal(running_var(own), running_var(plain))) << "not before the update";
    op->end_step();
    expect_close(running_var(own), running_var(plain), "running variance");
  }
  plain.layer.module.ptr()->eval();
  const at::Tensor x = random_batch(own.facts.input_shape, 3);
  expect_close(op->forward(x, {}, false, nullptr, false), plain.layer.module.forward(x).detach(),
               "evaluation");
}

TEST_P(BatchNorm, RecordsNothingOfARepeatedOrForgottenPass) {
  const Sample s = normalisation();
  const auto op = make_layer_op(s.layer, s.facts, 0, "");
  const at::Tensor before = running_var(s).clone();
  Saved saved;
  op->forward(random_batch(s.facts.input_shape, 4), {.again = true}, true, &saved, false);
  op->end_step();
  op->forward(random_batch(s.facts.input_shape, 4), {}, true, &saved, false);
  op->clear_gradients();
  op->end_step();
  EXPECT_TRUE(at::equal(running_var(s), before));
}

TEST(BatchNormOfOneRow, LeavesTheRunningVarianceAlone) {
  const Sample s = sample("batch_norm", nn::BatchNorm1d(5), {5});
  const auto op = make_layer_op(s.layer, s.facts, 0, "");
  Saved saved;
  const at::Tensor y = op->forward(random_batch({5}, 1), {}, true, &saved, false);
  EXPECT_LT(y.abs().max().item<double>(), 1e-3);  // the row less its own mean
  EXPECT_TRUE(input_gradient(*op, at::ones({1, 5}), saved).isfinite().all().item<bool>());
  op->end_step();
  for (const auto& buffer : s.layer.module.ptr()->buffers())
    EXPECT_TRUE(buffer.isfinite().all().item<bool>());
}

INSTANTIATE_TEST_SUITE_P(ImagesAndRows, BatchNorm, ::testing::Bool());

}  // namespace
}  // namespace millrace::test
