#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "framework/layers/layer_op.hpp"
#include "millrace/errors.hpp"
#include "tests/framework/layers/fixtures.hpp"

namespace millrace::test {
namespace {

namespace nn = torch::nn;

/// A residual block that works in place, with a parameter that its output does not use.
struct BlockImpl : nn::Cloneable<BlockImpl> {
  BlockImpl() { reset(); }
  void reset() override {
    inner = register_module("inner", nn::Linear(6, 6));
    unused = register_parameter("unused", at::ones({2}));
  }
  at::Tensor forward(const at::Tensor& x) {
    at::Tensor kept = x.clone();
    at::Tensor in_place = x;
    return inner(in_place.mul_(2)).tanh() + kept;
  }
  nn::Linear inner{nullptr};
  at::Tensor unused;
};
TORCH_MODULE(Block);

/// A layer with numbers of its own that no training changes.
struct FixedNumbersImpl : nn::Cloneable<FixedNumbersImpl> {
  FixedNumbersImpl() { reset(); }
  void reset() override { numbers = register_buffer("numbers", at::randn({6})); }
  at::Tensor forward(const at::Tensor& x) { return x * numbers; }
  at::Tensor numbers;
};
TORCH_MODULE(FixedNumbers);

struct NotCloneableImpl : nn::Module {
  at::Tensor forward(const at::Tensor& x) { return x; }
};
TORCH_MODULE(NotCloneable);

TEST(ModuleOp, runs_any_module_with_autograd_of_its_own) {
  torch::manual_seed(1);
  const Sample s = sample("module", Block(), {6});
  auto block = s.layer.module.ptr<BlockImpl>();
  const auto op = make_layer_op(s.layer, s.facts, 0, "");
  const at::Tensor x = random_batch({6}, 3), dy = random_batch({6}, 3);
  const at::Tensor leaf = x.clone().requires_grad_();
  const at::Tensor y = block->forward(leaf.clone());
  const auto expected =
      torch::autograd::grad({y}, {leaf, block->inner->weight, block->inner->bias}, {dy});
  Saved saved;
  const at::Tensor before = x.clone();
  expect_close(op->forward(x, {}, true, &saved, false), y.detach(), "y");
  EXPECT_TRUE(at::equal(x, before));
  expect_close(input_gradient(*op, dy, saved), expected[0], "dx");
  for (const ParameterSlot& slot : op->parameters()) {
    if (slot.name == "layer.inner.weight") expect_close(slot.gradient, expected[1], slot.name);
    if (slot.name == "layer.inner.bias") expect_close(slot.gradient, expected[2], slot.name);
    EXPECT_EQ(slot.gradient.defined(), slot.name != "layer.unused");
  }
}

TEST(ModuleOp, follows_the_weights_of_the_model) {
  const Sample s = sample("module", Block(), {6});
  auto block = s.layer.module.ptr<BlockImpl>();
  const auto op = make_layer_op(s.layer, s.facts, 0, "");
  const at::Tensor x = random_batch({6}, 3);
  {
    const at::NoGradGuard no_grad;
    block->inner->weight.fill_(0.5);
    block->inner->bias.zero_();
  }
  const at::Tensor y = op->forward(x, {}, false, nullptr, false);
  expect_close(y, (x.sum(1, true).expand({3, 6})).tanh() + x, "y");
  EXPECT_FALSE(y.requires_grad());
  EXPECT_EQ(op->parameters().size(), 3U);
}

TEST(ModuleOp, follows_the_buffers_of_the_model) {
  const Sample s = sample("module", FixedNumbers(), {6});
  const auto op = make_layer_op(s.layer, s.facts, 0, "");
  const at::Tensor x = random_batch({6}, 3);
  const auto output = [&] { return op->forward(x, {}, false, nullptr, false); };
  auto module = s.layer.module.ptr<FixedNumbersImpl>();
  EXPECT_TRUE(at::equal(output(), x * module->numbers)) << "as they were drawn";
  module->numbers.fill_(2);  // as a checkpoint's would be read
  EXPECT_TRUE(at::equal(output(), x * 2));
}

TEST(ModuleOp, switches_the_module_between_training_and_evaluation) {
  const Sample s = sample("module", nn::Dropout(1.0), {6});
  const auto op = make_layer_op(s.layer, s.facts, 0, "");
  const at::Tensor x = random_batch({6}, 3);
  EXPECT_TRUE(at::equal(op->forward(x, {}, false, nullptr, false), x));
  EXPECT_EQ(op->forward(x, {}, true, nullptr, false).abs().sum().item<float>(), 0);
}

TEST(ModuleOp, names_a_module_that_cannot_be_copied) {
  const Sample s = sample("module", NotCloneable(), {6});
  try {
    make_layer_op(s.layer, s.facts, 0, "");
    FAIL() << "a module that cannot be cloned was taken";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("layer layer"));
    EXPECT_THAT(error.what(), testing::HasSubstr("NotCloneable"));
    EXPECT_THAT(error.what(), testing::HasSubstr("Cloneable and"));
  }
}

}  // namespace
}  // namespace millrace::test
