#include "framework/stages/stage_parameters.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tuple>

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
      whole.push_back({"a.weight", shared, at::full({40}, static_cast<float>(w + 1))});
      rows.push_back({"b.weight", sliced.narrow(0, begin, size), at::full({size, 6}, 10.0F)});
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
  StageParameters parameters(list, equal_shares(workers), plain_sgd());
  for (int w = 0; w < workers; ++w) parameters.update(w, context);
  EXPECT_TRUE(at::equal(shared, at::full({40}, -sum_of_shared())));
  EXPECT_TRUE(at::equal(sliced, at::full({7, 6}, -10.0F)));
}

TEST_P(Parameters, workers_norms_add_up) {
  const StageParameters parameters(list, equal_shares(workers), plain_sgd());
  double sum = 0;
  for (int w = 0; w < workers; ++w) sum += parameters.squared_norm(w);
  EXPECT_DOUBLE_EQ(sum, 40.0 * sum_of_shared() * sum_of_shared() + 42 * 100);
}

TEST_P(Parameters, gradients_are_scaled_when_clipped) {
  context.clip_scale = 0.5F;
  StageParameters parameters(list, equal_shares(workers), plain_sgd());
  for (int w = 0; w < workers; ++w) parameters.update(w, context);
  EXPECT_TRUE(at::equal(sliced, at::full({7, 6}, -5.0F)));
}

TEST_P(Parameters, without_a_gradient_nothing_changes) {
  whole.back().gradient.reset();
  for (ParameterSlot& slot : rows) slot.gradient.reset();
  OptimizerSettings decay = plain_sgd();
  decay.weight_decay = 0.5;
  sliced.fill_(1);
  StageParameters parameters(list, equal_shares(workers), decay);
  for (int w = 0; w < workers; ++w) parameters.update(w, context);
  EXPECT_TRUE(at::equal(shared, at::full({40}, -(sum_of_shared() - static_cast<float>(workers)))));
  EXPECT_TRUE(at::equal(sliced, at::ones({7, 6})));
}

TEST_P(Parameters, the_state_is_that_of_the_whole_parameters) {
  OptimizerSettings settings;
  settings.kind = OptimizerKind::adamw;
  StageParameters parameters(list, equal_shares(workers), settings);
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

/// However the elements are divided: 40 + 42 of them, by rows and whole.
TEST(UnevenShares, every_element_is_updated_once) {
  for (const std::vector<double>& shares :
       {std::vector<double>{0.7, 0.3}, {0.1, 0.9}, {1, 0}, {0, 1}, {0.34, 0.33, 0.33}}) {
    OptimizerSettings plain;
    plain.momentum = 0;
    StepContext context;
    context.learning_rate = 1;
    const at::Tensor first = at::zeros({40}), second = at::zeros({7, 6}),
                     deferred = at::zeros({5, 700});
    ParameterSlot a{"a", first, at::full({40}, 2.0F)}, b{"b", second, at::full({7, 6}, 3.0F)};
    ParameterSlot c{"c", deferred, {}, true, {{0, at::ones({4, 700}), at::ones({4, 5})}}};
    StageParameters parameters({{"a", first, {&a}}, {"b", second, {&b}}, {"c", deferred, {&c}}},
                               shares, plain);
    double norm = 0;
    for (int w = 0; w < static_cast<int>(shares.size()); ++w) {
      const double own = parameters.squared_norm(w), all = 40 * 4 + 42 * 9 + 3500 * 16;
      EXPECT_NEAR(own / all, shares[static_cast<std::size_t>(w)], 0.03) << "whole lines";
      if (shares[static_cast<std::size_t>(w)] == 0) {
        EXPECT_EQ(own, 0);
      }
      norm += own;
      parameters.update(w, context);
    }
    EXPECT_TRUE(at::equal(first, at::full({40}, -2.0F)));
    EXPECT_TRUE(at::equal(second, at::full({7, 6}, -3.0F)));
    EXPECT_TRUE(at::equal(deferred, at::full({5, 700}, -4.0F)));
    EXPECT_DOUBLE_EQ(norm, 40 * 4 + 42 * 9 + 3500 * 16);
  }
}

/// A weight whose gradient is left to the update: 9 samples, some with every worker, the weight
/// whole with each of them or cut into rows.
class DeferredParameters : public testing::TestWithParam<std::tuple<int, bool>> {
 protected:
  DeferredParameters() {
    for (int w = 0; w < workers; ++w) {
      const std::int64_t row = sliced ? w * 7 / workers : 0;
      const std::int64_t rows = (sliced ? (w + 1) * 7 / workers : 7) - row;
      slots.push_back({"w", weight.narrow(0, row, rows), {}, true, {}});
      const std::int64_t first = sliced ? 0 : w * 9 / workers;
      const std::int64_t samples = (sliced ? 9 : (w + 1) * 9 / workers) - first;
      slots.back().products = {
          {first, x.narrow(0, first, samples), dy.narrow(0, first, samples).narrow(1, row, rows)}};
    }
    parameter = {"w", weight, {}};
    for (const ParameterSlot& slot : slots) parameter.slots.push_back(&slot);
    context.learning_rate = 0.5;
  }

  static at::Tensor random(at::IntArrayRef shape, std::uint64_t seed) {
    return at::randn(shape, at::detail::createCPUGenerator(seed));
  }
  at::Tensor gradient() const { return dy.t().mm(x); }

  const int workers = std::get<0>(GetParam());
  const bool sliced = std::get<1>(GetParam());
  const at::Tensor weight = at::zeros({7, 100});
  const at::Tensor x = random({9, 100}, 1), dy = random({9, 7}, 2);
  std::vector<ParameterSlot> slots;
  StageParameter parameter;
  StepContext context;
};

TEST_P(DeferredParameters, are_updated_as_with_the_whole_gradient) {
  for (const bool adamw : {false, true}) {
    OptimizerSettings settings;
    if (adamw) settings.kind = OptimizerKind::adamw;
    const at::Tensor expected = at::zeros({7, 100});
    ParameterSlot whole{"w", expected, gradient()};
    StageParameters deferred({parameter}, equal_shares(workers), settings),
        usual({{"w", expected, {&whole}}}, {1}, settings);
    weight.zero_();
    for (int step = 0; step < 3; ++step, ++context.step) {
      for (int w = 0; w < workers; ++w) deferred.update(w, context);
      usual.update(0, context);
    }
    EXPECT_TRUE(at::allclose(weight, expected, 1e-5, 2e-5)) << (adamw ? "AdamW" : "SGD");
    EXPECT_GT(weight.abs().min().item<float>(), 0);
  }
}

TEST_P(DeferredParameters, count_in_the_norm_and_are_scaled) {
  OptimizerSettings plain;
  plain.momentum = 0;
  StageParameters parameters({parameter}, equal_shares(workers), plain);
  double sum = 0;
  for (int w = 0; w < workers; ++w) sum += parameters.squared_norm(w);
  const double expected = gradient().to(at::kDouble).pow(2).sum().item<double>();
  EXPECT_NEAR(sum, expected, 1e-5 * expected);
  context.clip_scale = 0.25F;
  for (int w = 0; w < workers; ++w) parameters.update(w, context);
  EXPECT_TRUE(at::allclose(weight, gradient() * -0.125, 1e-5, 1e-5));
}

TEST_P(DeferredParameters, stay_as_they_are_without_products) {
  for (ParameterSlot& slot : slots) slot.products.clear();
  weight.fill_(1);
  OptimizerSettings decay;
  decay.weight_decay = 0.5;
  StageParameters parameters({parameter}, equal_shares(workers), decay);
  for (int w = 0; w < workers; ++w) {
    EXPECT_EQ(parameters.squared_norm(w), 0);
    parameters.update(w, context);
  }
  EXPECT_TRUE(at::equal(weight, at::ones({7, 100})));
}

INSTANTIATE_TEST_SUITE_P(workers, DeferredParameters,
                         testing::Combine(testing::Values(1, 2, 3, 7), testing::Bool()));

TEST(StageParameters, state_depends_on_the_optimizer) {
  ParameterSlot slot{"w", at::zeros({3}), {}};
  const auto states = [&](const OptimizerSettings& settings) {
    return StageParameters({{"w", slot.value, {&slot}}}, {1}, settings).optimizer_state().size();
  };
  OptimizerSettings settings;
  EXPECT_EQ(states(settings), 1U);
  settings.momentum = 0;
  EXPECT_EQ(states(settings), 0U);
}

TEST(StageParameters, refuses_parameters_that_are_not_dense_float32) {
  for (const at::Tensor& value :
       {at::zeros({3}, at::kDouble), at::zeros({3, 4}).t(), at::zeros({3}, at::kHalf)}) {
    ParameterSlot slot{"odd.weight", value, {}};
    try {
      StageParameters({{"odd.weight", value, {&slot}}}, {1}, {});
      FAIL() << "taken";
    } catch (const ConfigError& error) {
      EXPECT_THAT(error.what(), HasSubstr("odd.weight"));
    }
  }
}

}  // namespace
}  // namespace millrace::test
