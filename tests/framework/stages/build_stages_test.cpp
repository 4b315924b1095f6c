#include "framework/stages/build_stages.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "millrace/errors.hpp"
#include "millrace/plain_forward.hpp"
#include "tests/framework/stages/small_training.hpp"

namespace millrace::test {
namespace {

using testing::HasSubstr;

const at::Tensor& inputs() {
  static const at::Tensor tensor = at::randn({8, 6}, at::detail::createCPUGenerator(1));
  return tensor;
}
const at::Tensor& targets() {
  static const at::Tensor tensor =
      at::randint(4, {8}, at::detail::createCPUGenerator(2), at::kLong);
  return tensor;
}

/// What the modules give in evaluation mode.
at::Tensor outputs_of_chain(const Model& model, at::Tensor x) {
  const at::NoGradGuard no_grad;
  for (Layer layer : model.layers) {
    layer.module.ptr()->eval();
    x = layer.module.forward(x);
  }
  return x;
}

template <typename Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no ConfigError was thrown";
}

/// Stages x workers x features.
class Plans : public testing::TestWithParam<std::tuple<std::vector<int>, int, bool>> {
 protected:
  const Model model = small_model();
  const Plan plan =
      small_plan(model, std::get<0>(GetParam()), std::get<1>(GetParam()), std::get<2>(GetParam()));
};

TEST_P(Plans, predict_and_evaluate_as_the_modules_do) {
  Training training(model, plan);
  for (std::int64_t n : {8, 7, 3, 1}) {
    const at::Tensor x = inputs().narrow(0, 0, n), y = targets().narrow(0, 0, n);
    const at::Tensor expected = outputs_of_chain(model, x.clone());
    training.stages.begin_prediction(x);
    training.run("forward-only", n);
    EXPECT_TRUE(at::allclose(training.stages.outputs(), expected, 1e-5, 1e-6));
    training.stages.begin_evaluation(x, y);
    training.run("forward-only", n);
    const StepResults results = training.stages.results();
    EXPECT_EQ(results.samples, n);
    EXPECT_EQ(results.correct, (expected.argmax(1) == y).sum().item<std::int64_t>());
    EXPECT_NEAR(results.loss, torch::nn::functional::cross_entropy(expected, y).item<double>(),
                1e-5);
  }
}

TEST_P(Plans, the_batch_stays_as_it_is) {
  const at::Tensor before = inputs().clone();
  Training training(model, plan);
  training.train(inputs(), targets());
  training.stages.begin_prediction(inputs());
  training.run("forward-only", 8);
  EXPECT_TRUE(at::equal(inputs(), before));
}

TEST_P(Plans, training_learns_the_batch_in_the_models_own_weights) {
  Training training(model, plan);
  const at::Tensor weight = model.layers[2].module.ptr()->named_parameters()["weight"];
  const at::Tensor before = weight.detach().clone();
  const double first = training.train(inputs(), targets(), 0).loss;
  double last = 0;
  for (int step = 1; step < 80; ++step) last = training.train(inputs(), targets(), step).loss;
  EXPECT_FALSE(at::equal(weight, before));
  EXPECT_LT(last, 0.9 * first);  // dropout is on: single steps scatter
}

TEST_P(Plans, state_is_named_alike) {
  Training training(model, plan);
  std::vector<std::string> names;
  for (const StateTensor& tensor : training.stages.state()) names.push_back(tensor.name);
  EXPECT_THAT(names,
              testing::ElementsAre("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias",
                                   "optimizer.momentum.fc1.weight", "optimizer.momentum.fc1.bias",
                                   "optimizer.momentum.fc2.weight", "optimizer.momentum.fc2.bias"));
}

INSTANTIATE_TEST_SUITE_P(all, Plans,
                         testing::Combine(testing::Values(std::vector<int>{6},
                                                          std::vector<int>{1, 1, 4},
                                                          std::vector<int>{3, 3}),
                                          testing::Values(1, 2, 3), testing::Bool()));

/// With a head that reads relu1; it may run behind the last layer.
Model model_with_head() {
  Model model = small_model();
  model.layers.insert(model.layers.begin() + 4,
                      {"head", {"relu1"}, torch::nn::AnyModule(torch::nn::Linear(5, 4))});
  model.layers[5].inputs = {"relu1"};
  model.auxiliary = {{"head", 0.25}};
  return model;
}

double loss_of(const at::Tensor& outputs) {
  return torch::nn::functional::cross_entropy(outputs, targets()).item<double>();
}

TEST(BuildStages, auxiliary_losses_are_part_of_trainings_alone) {
  const Model model = model_with_head();
  for (const Layer& layer : model.layers)  // without dropout the losses are known
    if (auto* drop = layer.module.ptr()->as<torch::nn::Dropout>()) drop->options.p(0);
  Plan plan = small_plan(model, {4, 3}, 2, false);
  for (const bool head_last : {false, true}) {
    if (head_last) {
      plan = small_plan(model, {4, 2, 1}, 2, false);
      plan.stages[1].layers = {"drop1", "fc2"};
      plan.stages[2].layers = {"head"};
    }
    const std::vector<at::Tensor> outputs = plain_outputs(model, inputs());
    const std::int64_t correct = (outputs[0].argmax(1) == targets()).sum().item<std::int64_t>();
    Training training(model, plan);
    training.stages.begin_evaluation(inputs(), targets());
    training.run("forward-only", 8);
    EXPECT_NEAR(training.stages.results().loss, loss_of(outputs[0]), 1e-5);
    EXPECT_EQ(training.stages.results().correct, correct);
    training.stages.begin_prediction(inputs());
    training.run("forward-only", 8);
    EXPECT_TRUE(at::allclose(training.stages.outputs(), outputs[0], 1e-5, 1e-6));
    const StepResults trained = training.train(inputs(), targets());
    EXPECT_NEAR(trained.loss, loss_of(outputs[0]) + 0.25 * loss_of(outputs[1]), 1e-5);
    EXPECT_EQ(trained.correct, correct);
    EXPECT_EQ(trained.answers, 8);
  }
}

TEST(BuildStages, training_goes_on_from_a_restored_state) {
  const Model one = small_model(), two = small_model();
  Training first(one, small_plan(one, {6}, 1, false));
  Training second(two, small_plan(two, {2, 4}, 2, true));
  for (int step = 0; step < 3; ++step) first.train(inputs(), targets(), step);
  const auto from = first.stages.state(), to = second.stages.state();
  ASSERT_EQ(from.size(), to.size());
  for (std::size_t i = 0; i < from.size(); ++i)
    std::copy(from[i].data, from[i].data + from[i].elements, to[i].data);
  first.train(inputs(), targets(), 3);
  second.train(inputs(), targets(), 3);
  for (std::size_t i = 0; i < from.size(); ++i)
    for (std::int64_t e = 0; e < from[i].elements; ++e)
      EXPECT_NEAR(to[i].data[e], from[i].data[e], 1e-6) << from[i].name;
}

TEST(BuildStages, the_learning_rate_follows_its_schedule) {
  const Model model = small_model();
  LearningRateSchedule nothing;
  nothing.name = "step";
  nothing.step_size = 1;
  nothing.gamma = 1e-30;
  const Plan plan = small_plan(model, {6}, 1, false);
  StageSet stages = build_stages(model, check_model(model), plan, {}, nothing, 1);
  Executor executor(stages.runners(), {{WorkerPlace{}}});
  const at::Tensor weight = model.layers[2].module.ptr()->named_parameters()["weight"];
  const auto changes = [&](std::int64_t step) {
    const at::Tensor before = weight.detach().clone();
    stages.begin_training(inputs(), targets(), step);
    executor.run(make_schedule("1f1b", 1, 2));
    return !at::equal(weight, before);
  };
  EXPECT_TRUE(changes(0));
  EXPECT_FALSE(changes(1));
}

TEST(BuildStages, clipping_by_a_norm_that_is_no_number_reaches_every_gradient) {
  Model model = small_model();
  model.loss = [](const at::Tensor& outputs, const at::Tensor&) {
    return outputs.narrow(1, 0, 1).mul(NAN).sum() + outputs.narrow(1, 1, 3).sum();
  };
  OptimizerSettings clipped;
  clipped.clip_norm = 0.1;
  const Plan plan = small_plan(model, {6}, 1, false);
  StageSet stages = build_stages(model, check_model(model), plan, clipped, {}, 1);
  Executor executor(stages.runners(), {{WorkerPlace{}}});
  stages.begin_training(inputs(), targets(), 0);
  const Executor::Options options = {true, [&stages] { stages.clip_gradients(); }};
  executor.run(make_schedule("1f1b", 1, 2), options);
  const at::Tensor bias = model.layers.back().module.ptr()->named_parameters()["bias"];
  EXPECT_TRUE(at::isnan(bias).all().item<bool>()) << "of all outputs, as in LibTorch";
}

TEST(BuildStages, refuses_batches_that_do_not_fit) {
  const Model model = small_model();
  Training training(model, small_plan(model, {6}, 1, false));
  StageSet& stages = training.stages;
  const auto begin = [&](const at::Tensor& x, const at::Tensor& y) {
    return message_of([&] { stages.begin_training(x, y, 0); });
  };
  EXPECT_THAT(begin(at::zeros({8, 5}), targets()), HasSubstr("Float [8, 5]"));
  EXPECT_THAT(begin(at::zeros({8, 6}, at::kDouble), targets()), HasSubstr("Double"));
  EXPECT_THAT(begin(at::Tensor(), targets()), HasSubstr("takes Float [n, 6]"));
  EXPECT_THAT(begin(at::zeros({9, 6}), targets()), HasSubstr("9 samples, the plan is for 1 to 8"));
  EXPECT_THAT(begin(at::zeros({0, 6}), targets()), HasSubstr("0 samples"));
  EXPECT_THAT(begin(inputs(), targets().narrow(0, 0, 7)), HasSubstr("the targets [7]"));
  EXPECT_THAT(begin(inputs(), targets().to(at::kInt)), HasSubstr("Int [8]"));
  EXPECT_THAT(message_of([&] { stages.begin_prediction(at::zeros({8})); }), HasSubstr("[8]"));
}

TEST(BuildStages, refuses_plans_for_other_models) {
  const Model model = small_model();
  const auto build = [&](const Plan& plan) {
    return message_of([&] { build_stages(model, check_model(model), plan, {}, {}, 1); });
  };
  Plan renamed = small_plan(model, {3, 3}, 1, false);
  renamed.stages[1].layers[0] = "conv9";
  EXPECT_THAT(build(renamed), HasSubstr("layer conv9 is in the plan and not in the model"));
  EXPECT_THAT(build(small_plan(model, {3, 2}, 1, false)),
              HasSubstr("is in no stage of the plan: make a plan for this model, small"));
  Plan turned = small_plan(model, {3, 3}, 1, false);
  std::swap(turned.stages[0].layers, turned.stages[1].layers);
  EXPECT_THAT(build(turned), HasSubstr(", which a later stage of the plan has"));
  Plan twice = small_plan(model, {3, 3}, 1, false);
  twice.stages[1].layers.push_back(twice.stages[0].layers[0]);
  EXPECT_THAT(build(twice), HasSubstr("is twice in the plan"));
  Plan longer = small_plan(model, {6}, 1, false);
  longer.stages[0].layers.push_back("fc3");
  EXPECT_THAT(build(longer), HasSubstr("layer fc3 is in the plan and not in the model"));
  Plan unknown = small_plan(model, {6}, 1, false);
  unknown.stages[0].implementations["fc1"].forward = "abacus";
  EXPECT_THAT(build(unknown), HasSubstr("abacus"));
}

TEST(BuildStages, refuses_models_and_settings_that_cannot_be_trained) {
  Model images = small_model();
  images.layers.back().module = torch::nn::AnyModule(torch::nn::Linear(5, 4));
  Model rows = images;
  rows.sample_shape = {2, 2, 6};
  const auto build = [](const Model& model, const OptimizerSettings& settings) {
    return message_of([&] {
      build_stages(model, check_model(model), small_plan(model, {6}, 1, false), settings, {}, 1);
    });
  };
  EXPECT_THAT(build(rows, {}), HasSubstr("2 x 2 x 4"));
  OptimizerSettings negative;
  negative.learning_rate = -1;
  EXPECT_THAT(build(images, negative), HasSubstr("learning rate"));
}

}  // namespace
}  // namespace millrace::test
