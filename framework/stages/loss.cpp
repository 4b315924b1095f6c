#include "framework/stages/loss.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <fmt/format.h>
#include <torch/autograd.h>

#include "kernels/softmax_cross_entropy/softmax_cross_entropy.hpp"
#include "millrace/errors.hpp"

namespace millrace {
namespace {

RowsLoss softmax_loss(const at::Tensor& outputs, const at::Tensor& targets, double scale,
                      bool with_gradient) {
  const at::Tensor logits = outputs.contiguous(), labels = targets.contiguous();
  const std::int64_t classes = logits.size(-1), answers = labels.numel();
  const double positions = double(answers) / double(logits.size(0));
  RowsLoss loss;
  if (with_gradient) loss.gradient = at::empty_like(logits);
  const auto result =
      kernels::softmax_cross_entropy_cpu(logits.data_ptr<float>(), labels.data_ptr<std::int64_t>(),
                                         answers, classes, static_cast<float>(scale / positions),
                                         with_gradient ? loss.gradient.data_ptr<float>() : nullptr);
  if (result.bad_row >= 0) {
    throw ConfigError("loss",
                      fmt::format("a label is {}, the model has the classes 0 to {}: use "
                                  "data of as many classes, or a model for them",
                                  labels.data_ptr<std::int64_t>()[result.bad_row], classes - 1));
  }
  loss.sum = result.loss_sum / positions;
  loss.correct = result.correct;
  return loss;
}

RowsLoss own_loss(const LossFunction& function, const at::Tensor& outputs,
                  const at::Tensor& targets, double scale, bool with_gradient) {
  const at::AutoGradMode graph(with_gradient);
  const at::Tensor leaf = outputs.detach().requires_grad_(with_gradient);
  const at::Tensor sum = function(leaf, targets);
  if (sum.numel() != 1 || (with_gradient && !sum.requires_grad())) {
    throw ConfigError("loss",
                      fmt::format("the model's loss gave {} numbers{}: it must be one sum "
                                  "over the samples, differentiable by autograd",
                                  sum.numel(), sum.requires_grad() ? "" : " without a gradient"));
  }
  RowsLoss loss{sum.item<double>(), 0, {}};
  if (with_gradient) {
    const at::Tensor gradient = torch::autograd::grad({sum}, {leaf}).front();
    loss.gradient = gradient.detach().mul(scale);
  }
  return loss;
}

}  // namespace

RowsLoss loss_of(const LossFunction& loss, const at::Tensor& outputs, const at::Tensor& targets,
                 double scale, bool with_gradient) {
  return loss ? own_loss(loss, outputs, targets, scale, with_gradient)
              : softmax_loss(outputs, targets, scale, with_gradient);
}

}  // namespace millrace
