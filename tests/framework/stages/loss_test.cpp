#include "framework/stages/loss.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/nn/functional.h>

#include "millrace/errors.hpp"

namespace millrace::test {
namespace {

using testing::HasSubstr;

class Loss : public testing::Test {
 protected:
  const at::Tensor outputs = at::randn({6, 5}, at::detail::createCPUGenerator(1));
  const at::Tensor labels = at::tensor({0, 4, 2, 2, 1, 3}, at::kLong);

  std::string message_of(const LossFunction& loss, const at::Tensor& targets) const {
    try {
      loss_of(loss, outputs, targets, 1, true);
    } catch (const ConfigError& error) {
      EXPECT_EQ(error.tag(), "loss");
      return error.what();
    }
    return "nothing was thrown";
  }
};

void expect_near(const at::Tensor& a, const at::Tensor& b) {
  EXPECT_LE((a - b).abs().max().item<double>(), 1e-6);
}

TEST_F(Loss, softmax_cross_entropy_as_libtorchs) {
  const at::Tensor leaf = outputs.clone().requires_grad_();
  const at::Tensor mean = torch::nn::functional::cross_entropy(leaf, labels);
  const at::Tensor gradient = torch::autograd::grad({mean}, {leaf})[0];
  const RowsLoss loss = loss_of({}, outputs, labels, 1.0 / 6, true);
  EXPECT_NEAR(loss.sum / 6, mean.item<double>(), 1e-6);
  EXPECT_EQ(loss.correct, (outputs.argmax(1) == labels).sum().item<std::int64_t>());
  expect_near(loss.gradient, gradient);
}

TEST_F(Loss, no_gradient_where_none_is_asked_for) {
  const RowsLoss with = loss_of({}, outputs, labels, 1, true);
  const RowsLoss without = loss_of({}, outputs, labels, 1, false);
  EXPECT_FALSE(without.gradient.defined());
  EXPECT_EQ(without.sum, with.sum);
  EXPECT_EQ(without.correct, with.correct);
}

TEST_F(Loss, rows_of_a_larger_tensor) {
  const at::Tensor wide = at::cat({outputs, outputs}, 1);
  expect_near(loss_of({}, wide.narrow(1, 5, 5), labels, 1, true).gradient,
              loss_of({}, outputs, labels, 1, true).gradient);
}

TEST_F(Loss, a_label_that_is_no_class_is_named) {
  at::Tensor wrong = labels.clone();
  wrong[3] = 7;
  const std::string message = message_of({}, wrong);
  EXPECT_THAT(message, HasSubstr("a label is 7"));
  EXPECT_THAT(message, HasSubstr("0 to 4"));
}

TEST_F(Loss, an_own_loss_goes_through_autograd) {
  const LossFunction squares = [](const at::Tensor& y, const at::Tensor& target) {
    return (y - target).pow(2).sum();
  };
  const at::Tensor target = at::ones({6, 5});
  const RowsLoss loss = loss_of(squares, outputs, target, 0.25, true);
  EXPECT_NEAR(loss.sum, (outputs - target).pow(2).sum().item<double>(), 1e-4);
  EXPECT_EQ(loss.correct, 0);
  expect_near(loss.gradient, (outputs - target) * 0.5);
  EXPECT_FALSE(loss.gradient.requires_grad());
  EXPECT_FALSE(loss_of(squares, outputs, target, 0.25, false).gradient.defined());
}

TEST_F(Loss, an_own_loss_must_be_one_number_with_a_gradient) {
  const LossFunction rows = [](const at::Tensor& y, const at::Tensor&) { return y.sum(1); };
  EXPECT_THAT(message_of(rows, labels), HasSubstr("gave 6 numbers"));
  const LossFunction constant = [](const at::Tensor& y, const at::Tensor&) {
    return y.detach().sum();
  };
  EXPECT_THAT(message_of(constant, labels), HasSubstr("without a gradient"));
}

}  // namespace
}  // namespace millrace::test
