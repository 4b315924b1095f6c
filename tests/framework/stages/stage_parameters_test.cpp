#include "framework/stages/stage_parameters.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "millrace/errors.hpp"

namespace millrace::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// Two parameters: one that every worker holds whole, one that is cut into rows.
class Parameters : public testing::TestWithParam<int> {
 protected:
  Parameters() {
    const auto count = static_cast<std::size_t>(workers);
    for (int w = 0; w < workers; ++w) {
      const std::int64_t begin = w * 7 / workers, size = (w + 1) * 7 / workers - begin;
      whole.push_back({"a.weight", shared, at::full({40}, static_cast<float>(w + 1)), true});
      rows.push_back({"b.weight", sliced.narrow(0, begin, size), at::full({size, 6}, 10.0F), true});
    }
    StageParameter a{"a.weight", shared, {}}, b{"b.weight", sliced, {}};
    for (std::size_t w = 0; w < count; ++w) {
      a.slots.push_back(&whole[w]);
      b.slots.push_back(&rows[w]);
    }
    list = {a, b};
    context.learning_rate = 1;
  }

  OptimizerSettings plain_sgd() const {
    OptimizerSettings settings;
    settings.momentum = 0;
    return settings;
  }
  float sum_of_shared() const { return static_cast<float>(workers * (workers + 1)) / 2; }

  const int workers = GetParam();
  const at::Tensor shared = at::zeros({40}), sliced = at::zeros({7, 6});
  std::vector<ParameterSlot> whole, rows;
  std::vector<StageParameter> list;
  StepContext context;
};

TEST_P(Parameters, every_element_is_updated_once_by_the_summed_gradient) {
  StageParameters parameters(list, workers, plain_sgd());
  for (int w = 0; w < workers; ++w) parameters.update(w, context);
  EXPECT_TRUE(at::equal(shared, at::full({40}, -sum_of_shared())));
  EXPECT_TRUE(at::equal(sliced, at::full({7, 6}, -10.0F)));
}

TEST_P(Parameters, workers_norms_add_up) {
  const StageParameters parameters(list, workers, plain_sgd());
  double sum = 0;
  for (int w = 0; w < workers; ++w) sum += parameters.squared_norm(w);
  EXPECT_DOUBLE_EQ(sum, 40.0 * sum_of_shared() * sum_of_shared() + 42 * 100);
}

TEST_P(Parameters, gradients_are_scaled_when_clipped) {
  context.clip_scale = 0.5F;
  StageParameters parameters(list, workers, plain_sgd());
  for (int w = 0; w < workers; ++w) parameters.update(w, context);
  EXPECT_TRUE(at::equal(sliced, at::full({7, 6}, -5.0F)));
}

TEST_P(Parameters, without_a_gradient_nothing_changes) {
  whole.back().accumulated = false;
  for (ParameterSlot& slot : rows) slot.accumulated = false;
  OptimizerSettings decay = plain_sgd();
  decay.weight_decay = 0.5;
  sliced.fill_(1);
  StageParameters parameters(list, workers, decay);
  for (int w = 0; w < workers; ++w) parameters.update(w, context);
  EXPECT_TRUE(at::equal(shared, at::full({40}, -(sum_of_shared() - static_cast<float>(workers)))));
  EXPECT_TRUE(at::equal(sliced, at::ones({7, 6})));
}

TEST_P(Parameters, the_state_is_that_of_the_whole_parameters) {
  OptimizerSettings settings;
  settings.kind = OptimizerKind::adamw;
  StageParameters parameters(list, workers, settings);
  for (int w = 0; w < workers; ++w) parameters.update(w, context);
  std::vector<std::string> names;
  for (const StateTensor& tensor : parameters.optimizer_state()) names.push_back(tensor.name);
  EXPECT_THAT(names, ElementsAre("optimizer.exp_avg.a.weight", "optimizer.exp_avg.b.weight",
                                 "optimizer.exp_avg_sq.a.weight", "optimizer.exp_avg_sq.b.weight"));
  const StateTensor average = parameters.optimizer_state()[1];
  EXPECT_THAT(average.shape, ElementsAre(7, 6));
  for (std::int64_t i = 0; i < average.elements; ++i) EXPECT_FLOAT_EQ(average.data[i], 1);
  EXPECT_EQ(parameters.weights()[0].data, shared.data_ptr<float>());
  EXPECT_EQ(parameters.weights()[1].name, "b.weight");
}

INSTANTIATE_TEST_SUITE_P(workers, Parameters, testing::Values(1, 2, 3, 7));

TEST(StageParameters, state_depends_on_the_optimizer) {
  ParameterSlot slot{"w", at::zeros({3}), {}, false};
  const auto states = [&](const OptimizerSettings& settings) {
    return StageParameters({{"w", slot.value, {&slot}}}, 1, settings).optimizer_state().size();
  };
  OptimizerSettings settings;
  EXPECT_EQ(states(settings), 1U);
  settings.momentum = 0;
  EXPECT_EQ(states(settings), 0U);
}

TEST(StageParameters, refuses_parameters_that_are_not_dense_float32) {
  for (const at::Tensor& value :
       {at::zeros({3}, at::kDouble), at::zeros({3, 4}).t(), at::zeros({3}, at::kHalf)}) {
    ParameterSlot slot{"odd.weight", value, {}, false};
    try {
      StageParameters({{"odd.weight", value, {&slot}}}, 1, {});
      FAIL() << "taken";
    } catch (const ConfigError& error) {
      EXPECT_THAT(error.what(), HasSubstr("odd.weight"));
    }
  }
}

}  // namespace
}  // namespace millrace::test
