#include "framework/stages/optimizer_update.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <cmath>

namespace millrace::test {
namespace {

constexpr std::int64_t kElements = 10007;  // several chunks, the last one not full
constexpr int kSteps = 4;

at::Tensor random(std::uint64_t seed) {
  return at::randn({kElements}, at::detail::createCPUGenerator(seed));
}

/// Gradient of step `step` in `parts` parts that sum to the same for every number of parts.
std::vector<at::Tensor> gradient_parts(int step, int parts) {
  const at::Tensor whole = random(100 + static_cast<std::uint64_t>(step));
  if (parts == 1) return {whole};
  std::vector<at::Tensor> result(static_cast<std::size_t>(parts), whole / parts);
  return result;
}

UpdateRange range_of(const at::Tensor& value, const std::vector<at::Tensor>& states,
                     const std::vector<at::Tensor>& gradients) {
  UpdateRange range{value.data_ptr<float>(), nullptr, nullptr, {}, kElements};
  if (!states.empty()) range.state1 = states[0].data_ptr<float>();
  if (states.size() > 1) range.state2 = states[1].data_ptr<float>();
  for (const at::Tensor& gradient : gradients)
    range.gradients.push_back(gradient.data_ptr<float>());
  return range;
}

at::Tensor updated(const OptimizerSettings& settings, int states, int parts, float scale) {
  const at::Tensor value = random(1);
  std::vector<at::Tensor> state;
  for (int i = 0; i < states; ++i) state.push_back(at::zeros({kElements}));
  for (int step = 0; step < kSteps; ++step) {
    const std::vector<at::Tensor> gradients = gradient_parts(step, parts);
    apply_update(range_of(value, state, gradients), settings, settings.learning_rate, step, scale);
  }
  return value;
}

template <typename Optimizer, typename Options>
at::Tensor torch_updated(const Options& options, float scale) {
  at::Tensor value = random(1).requires_grad_();
  Optimizer optimizer({value}, options);
  for (int step = 0; step < kSteps; ++step) {
    value.mutable_grad() = gradient_parts(step, 1)[0] * scale;
    optimizer.step();
  }
  return value.detach();
}

void expect_equal(const at::Tensor& actual, const at::Tensor& expected) {
  EXPECT_LE((actual - expected).abs().max().item<double>(), 2e-6);
  EXPECT_GT((random(1) - expected).abs().max().item<double>(), 1e-3);
}

void expect_sgd(double momentum, bool nesterov, double weight_decay) {
  OptimizerSettings settings;
  settings.momentum = momentum;
  settings.nesterov = nesterov;
  settings.weight_decay = weight_decay;
  const auto options = torch::optim::SGDOptions(settings.learning_rate)
                           .momentum(momentum)
                           .nesterov(nesterov)
                           .weight_decay(weight_decay);
  for (int parts : {1, 2, 3})
    for (float scale : {1.0F, 0.3F})
      expect_equal(updated(settings, momentum > 0 ? 1 : 0, parts, scale),
                   torch_updated<torch::optim::SGD>(options, scale));
}

TEST(OptimizerUpdate, sgd) { expect_sgd(0, false, 0); }
TEST(OptimizerUpdate, sgd_with_weight_decay) { expect_sgd(0, false, 0.1); }
TEST(OptimizerUpdate, sgd_with_momentum) { expect_sgd(0.9, false, 0); }
TEST(OptimizerUpdate, sgd_with_momentum_and_weight_decay) { expect_sgd(0.9, false, 0.1); }
TEST(OptimizerUpdate, sgd_with_nesterov) { expect_sgd(0.8, true, 0.05); }

TEST(OptimizerUpdate, adamw) {
  OptimizerSettings settings;
  settings.kind = OptimizerKind::adamw;
  settings.beta1 = 0.85;
  settings.beta2 = 0.995;
  settings.weight_decay = 0.2;
  settings.epsilon = 1e-6;
  const auto options = torch::optim::AdamWOptions(settings.learning_rate)
                           .betas({0.85, 0.995})
                           .eps(1e-6)
                           .weight_decay(0.2);
  for (int parts : {1, 2})
    for (float scale : {1.0F, 0.3F})
      expect_equal(updated(settings, 2, parts, scale),
                   torch_updated<torch::optim::AdamW>(options, scale));
}

TEST(OptimizerUpdate, the_squared_sum_is_of_the_summed_gradient) {
  const at::Tensor a = random(2), b = random(3);
  const UpdateRange range = range_of(random(1), {}, {a, b});
  const double expected = (a + b).to(at::kDouble).pow(2).sum().item<double>();
  EXPECT_NEAR(squared_sum(range), expected, 1e-9 * expected);
}

TEST(OptimizerUpdate, team_width_does_not_change_the_bits) {
  const at::Tensor a = random(2), b = random(3);
  const UpdateRange range = range_of(random(1), {}, {a, b});
  at::set_num_threads(1);
  const at::Tensor one = updated({}, 1, 2, 0.5F);
  const double sum = squared_sum(range);
  at::set_num_threads(3);
  EXPECT_TRUE(at::equal(updated({}, 1, 2, 0.5F), one));
  EXPECT_EQ(squared_sum(range), sum);
  at::set_num_threads(1);
}

}  // namespace
}  // namespace millrace::test
