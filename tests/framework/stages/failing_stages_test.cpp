// A worker that fails inside a stage: the exception reaches the caller, nobody waits for ever, and
// the stages can be used again.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/cloneable.h>

#include <stdexcept>

#include "millrace/errors.hpp"
#include "tests/framework/stages/small_training.hpp"

namespace millrace::test {
namespace {

/// Fails where a sample is all 13.
struct TrapImpl : torch::nn::Cloneable<TrapImpl> {
  void reset() override {}
  at::Tensor forward(const at::Tensor& x) {
    if ((x == 13).all(1).any().item<bool>()) throw std::runtime_error("trapped");
    return x;
  }
};
TORCH_MODULE(Trap);

Model trapped_model() {
  const Model base = small_model();
  Model model = base;
  model.layers.clear();
  model.add("trap", Trap()).add("norm", torch::nn::BatchNorm1d(6));
  model.layers.insert(model.layers.end(), base.layers.begin(), base.layers.end());
  return model;
}

class Failing : public testing::TestWithParam<std::tuple<std::vector<int>, int>> {};

TEST_P(Failing, the_first_exception_reaches_the_caller_and_the_next_step_is_right) {
  const auto& [cuts, workers] = GetParam();
  const Model model = trapped_model(), other = trapped_model();
  Plan plan = small_plan(model, cuts, workers, false);
  for (PlanStage& stage : plan.stages) {  // workers meet in the linear layers
    stage.split = Split::features;
    for (const std::string& layer : stage.layers)
      if (layer.starts_with("fc")) stage.feature_layers.push_back(layer);
  }
  Training training(model, plan), reference(other, plan);
  const at::Tensor good = at::randn({8, 6}, at::detail::createCPUGenerator(4));
  const at::Tensor labels = at::zeros({8}, at::kLong);
  for (std::int64_t sample : {0, 3, 5, 7}) {
    at::Tensor bad = good.clone();
    bad[sample].fill_(13);
    try {
      training.train(bad, labels, 0);
      FAIL() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "trapped");
    }
  }
  EXPECT_EQ(training.train(good, labels, 0).loss, reference.train(good, labels, 0).loss);
  const auto state = training.stages.state(), expected = reference.stages.state();
  for (std::size_t i = 0; i < state.size(); ++i)
    for (std::int64_t e = 0; e < state[i].elements; ++e)
      ASSERT_EQ(state[i].data[e], expected[i].data[e]) << state[i].name;
}

TEST_P(Failing, a_label_that_is_no_class_is_the_users_fault) {
  const auto& [cuts, workers] = GetParam();
  const Model model = trapped_model();
  Training training(model, small_plan(model, cuts, workers, false));
  at::Tensor labels = at::zeros({8}, at::kLong);
  labels[6] = 4;
  EXPECT_THROW(training.train(at::zeros({8, 6}), labels, 0), ConfigError);
}

INSTANTIATE_TEST_SUITE_P(all, Failing,
                         testing::Combine(testing::Values(std::vector<int>{8},
                                                          std::vector<int>{3, 2, 3}),
                                          testing::Values(1, 2, 3)));

}  // namespace
}  // namespace millrace::test
