#include "models/zoo/zoo.hpp"

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/dropout.h>

#include <algorithm>
#include <cmath>

#include "millrace/errors.hpp"
#include "tests/plain_graph.hpp"

namespace millrace {
namespace {

double sum_forward(const std::vector<LayerFacts>& facts) {
  double sum = 0;
  for (const auto& layer : facts) sum += layer.forward_flops;
  return sum;
}

double sum_backward(const std::vector<LayerFacts>& facts) {
  double sum = 0;
  for (const auto& layer : facts) sum += layer.backward_flops;
  return sum;
}

class EveryModel : public ::testing::TestWithParam<ModelInfo> {};

TEST_P(EveryModel, KeepsTheContractAndItsListEntry) {
  const Model model = make_model(GetParam().name, 0);
  const auto facts = check_model(model);
  ASSERT_EQ(facts.size(), model.layers.size());
  EXPECT_EQ(model.sample_shape, GetParam().sample_shape);
  EXPECT_EQ(facts.front().input_shape, GetParam().sample_shape);
  EXPECT_EQ(facts.back().output_shape.back(), GetParam().default_classes);
  EXPECT_EQ(facts.back().output_shape.size(), GetParam().is_text ? 2u : 1u);
  EXPECT_EQ(model.vocabulary, GetParam().is_text ? GetParam().default_classes : 0);
  std::int64_t parameters = 0;
  for (const auto& [name, value] : named_parameters(model)) parameters += value.numel();
  EXPECT_EQ(parameters, GetParam().parameters);
  for (const auto& layer : facts) EXPECT_NE(layer.type, "module") << layer.name;
}

/// Mean loss of a batch in the modules' own modes.
at::Tensor loss_of(const Model& model, const at::Tensor& inputs, const at::Tensor& targets) {
  return at::cross_entropy_loss(test::run_graph(model, inputs).flatten(0, -2), targets.flatten());
}

INSTANTIATE_TEST_SUITE_P(Zoo, EveryModel, ::testing::ValuesIn(zoo()), [](const auto& each) {
  std::string name = each.param.name;
  std::erase(name, '-');
  return name;
});

/// Small enough to train here; alexnet-32 stands for alexnet, whose layers it has.
class SmallModel : public ::testing::TestWithParam<std::string> {};

TEST_P(SmallModel, LearnsTwoSamplesByPlainLibTorch) {
  const Model model = make_model(GetParam(), 0);
  auto shape = model.sample_shape;
  shape.insert(shape.begin(), 2);
  const at::Tensor inputs = at::linspace(-1, 1, c10::multiply_integers(shape)).reshape(shape);
  const at::Tensor targets = at::tensor({1, 3}, at::kLong);
  for (const Layer& layer : model.layers) layer.module.ptr()->eval();
  const double before = loss_of(model, inputs, targets).item<double>();
  for (int step = 0; step < 3; ++step) {
    const at::Tensor loss = loss_of(model, inputs, targets);
    loss.backward();
    const at::NoGradGuard no_gradients;
    for (auto& [name, value] : named_parameters(model)) {
      ASSERT_TRUE(value.grad().defined()) << name;
      value.sub_(value.grad(), 0.05);
      value.mutable_grad().zero_();
    }
  }
  EXPECT_LT(loss_of(model, inputs, targets).item<double>(), before);
}

TEST_P(SmallModel, HasTheWeightsOfInitialise) {
  const Model made = make_model(GetParam(), 0, 7), drawn_again = make_model(GetParam(), 0, 8);
  initialise(drawn_again, 7);
  const auto expected = named_parameters(drawn_again);
  const auto actual = named_parameters(made);
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i)
    EXPECT_TRUE(at::equal(actual[i].second, expected[i].second)) << actual[i].first;
}

INSTANTIATE_TEST_SUITE_P(Zoo, SmallModel,
                         ::testing::Values("alexnet-32", "resnet20", "lenet5", "mlp"),
                         [](const auto& each) {
                           std::string name = each.param;
                           std::erase(name, '-');
                           return name;
                         });

/// Deviations of torchvision's draws, of layers with enough numbers to tell.
struct Drawn {
  std::string model, layer;
  double deviation;
};

class InitialWeights : public ::testing::TestWithParam<Drawn> {};

TEST_P(InitialWeights, AreDrawnAsTorchvisionsAre) {
  const auto& [name, layer, deviation] = GetParam();
  const Model model = make_model(name, 1000);
  int found = 0;
  for (const auto& [parameter, value] : named_parameters(model)) {
    if (parameter == layer + ".bias") {
      EXPECT_EQ(value.abs().max().item<double>(), 0) << parameter;
    }
    if (parameter != layer + ".weight") continue;
    ++found;
    EXPECT_NEAR(value.std().item<double>() / deviation, 1, 0.05);
    EXPECT_NEAR(value.mean().item<double>() / deviation, 0, 0.05);
  }
  EXPECT_EQ(found, 1);
}

INSTANTIATE_TEST_SUITE_P(
    Zoo, InitialWeights,
    ::testing::Values(Drawn{"vgg11", "features.3", std::sqrt(2.0 / (128 * 9))},
                      Drawn{"vgg11", "classifier.3", 0.01},
                      Drawn{"squeezenet1_1", "features.3.expand3x3", std::sqrt(2.0 / (16 * 9))},
                      Drawn{"squeezenet1_1", "classifier.1", 0.01},
                      Drawn{"resnet18", "layer2.0.conv1", std::sqrt(2.0 / (128 * 9))},
                      Drawn{"densenet121", "features.denseblock1.denselayer1.conv2",
                            std::sqrt(2.0 / (128 * 9))},
                      Drawn{"densenet121", "classifier", std::sqrt(1.0 / (3 * 1024))},
                      Drawn{"mobilenet_v2", "features.18.0", std::sqrt(2.0 / 1280)},
                      Drawn{"googlenet", "conv3.conv", 0.01},
                      Drawn{"inception_v3", "Mixed_5b.branch5x5_2.conv", 0.1}),
    [](const auto& each) {
      std::string name = each.param.model + "_" + each.param.layer;
      std::replace(name.begin(), name.end(), '.', '_');
      return name;
    });

TEST(MakeModel, DrawsTheSameWeightsFromASeedWithAnyThreads) {
  const int threads = at::get_num_threads();
  const Model first = make_model("squeezenet1_1", 1000, 7);
  at::set_num_threads(threads == 1 ? 3 : 1);
  const Model again = make_model("squeezenet1_1", 1000, 7);
  at::set_num_threads(threads);
  const Model other = make_model("squeezenet1_1", 1000, 8);
  const auto a = named_parameters(first), b = named_parameters(again), c = named_parameters(other);
  for (std::size_t i = 0; i < a.size(); ++i)
    EXPECT_TRUE(at::equal(a[i].second, b[i].second)) << a[i].first;
  EXPECT_FALSE(at::equal(a[0].second, c[0].second));
}

TEST(AlexNet, HasTorchvisionsNamesAndShapes) {
  std::vector<std::string> names;
  for (const auto& [name, value] : named_parameters(make_model("alexnet", 1000))) {
    names.push_back(name + " " + c10::str(value.sizes()));
  }
  EXPECT_THAT(names, ::testing::ElementsAre(
                         "features.0.weight [64, 3, 11, 11]", "features.0.bias [64]",
                         "features.3.weight [192, 64, 5, 5]", "features.3.bias [192]",
                         "features.6.weight [384, 192, 3, 3]", "features.6.bias [384]",
                         "features.8.weight [256, 384, 3, 3]", "features.8.bias [256]",
                         "features.10.weight [256, 256, 3, 3]", "features.10.bias [256]",
                         "classifier.1.weight [4096, 9216]", "classifier.1.bias [4096]",
                         "classifier.4.weight [4096, 4096]", "classifier.4.bias [4096]",
                         "classifier.6.weight [1000, 4096]", "classifier.6.bias [1000]"));
}

TEST(AlexNet, ArithmeticIsThatOfThePublishedShape) {
  const auto facts = check_model(make_model("alexnet", 1000));
  std::vector<double> mflop;
  for (const auto& layer : facts) {
    if (layer.forward_flops > 0) mflop.push_back(layer.forward_flops / 1e6);
  }
  EXPECT_THAT(mflop, ::testing::Pointwise(::testing::DoubleNear(0.06),
                                          {140.6, 447.9, 224.3, 299.0, 199.4, 75.5, 33.6, 8.2}));
  EXPECT_NEAR(sum_forward(facts) / 1e6, 1428.5, 0.2);
  EXPECT_NEAR((sum_forward(facts) + sum_backward(facts)) / 1e6, 4145, 1);
}

TEST(AlexNet, FactsOfItsFirstLayer) {
  const LayerFacts first = check_model(make_model("alexnet", 1000)).front();
  EXPECT_EQ(first.name, "features.0");
  EXPECT_EQ(first.type, "conv2d");
  EXPECT_EQ(first.backward_flops, first.forward_flops);  // no input gradient
  EXPECT_EQ(first.output_shape, (std::vector<std::int64_t>{64, 55, 55}));
  EXPECT_EQ(first.weights_bytes, 93184);
}

TEST(AlexNet32, KeepsTheNamesOfTheLargeOne) {
  const Model large = make_model("alexnet", 10), small = make_model("alexnet-32", 10);
  ASSERT_EQ(large.layers.size(), small.layers.size());
  for (std::size_t i = 0; i < large.layers.size(); ++i) {
    EXPECT_EQ(large.layers[i].name, small.layers[i].name);
  }
  const auto facts = check_model(small);
  EXPECT_EQ(facts[12].output_shape, (std::vector<std::int64_t>{256, 4, 4}));
  EXPECT_EQ(facts[16].input_shape, std::vector<std::int64_t>{4096});
}

TEST(AuxiliaryHeads, AreTorchvisions) {
  const auto heads_of = [](const std::string& name) {
    std::vector<std::string> heads;
    const Model model = make_model(name, 10);
    std::vector<std::string> weights;
    for (const LayerFacts& layer : check_model(model))
      if (layer.training_only && layer.weights_bytes > 0) weights.push_back(layer.name);
    for (const AuxiliaryOutput& output : model.auxiliary)
      heads.push_back(output.layer + " " + std::to_string(output.weight).substr(0, 3));
    return std::pair(heads, weights);
  };
  const auto [google, google_weights] = heads_of("googlenet");
  EXPECT_THAT(google, ::testing::ElementsAre("aux1.fc2 0.3", "aux2.fc2 0.3"));
  EXPECT_THAT(google_weights,
              ::testing::ElementsAre("aux1.conv.conv", "aux1.conv.bn", "aux1.fc1", "aux1.fc2",
                                     "aux2.conv.conv", "aux2.conv.bn", "aux2.fc1", "aux2.fc2"));
  for (const Layer& layer : make_model("googlenet", 10).layers)
    if (const auto* drop = layer.module.ptr()->as<torch::nn::Dropout>()) {
      EXPECT_EQ(drop->options.p(), layer.name == "dropout" ? 0.2 : 0.7) << layer.name;
    }
  const auto [inception, inception_weights] = heads_of("inception_v3");
  EXPECT_THAT(inception, ::testing::ElementsAre("AuxLogits.fc 0.4"));
  EXPECT_THAT(inception_weights,
              ::testing::ElementsAre("AuxLogits.conv0.conv", "AuxLogits.conv0.bn",
                                     "AuxLogits.conv1.conv", "AuxLogits.conv1.bn", "AuxLogits.fc"));
}

TEST(MakeModel, TakesTheNumberOfClasses) {
  const Model model = make_model("lenet5", 7);
  EXPECT_EQ(model.classes, 7);
  EXPECT_EQ(check_model(model).back().output_shape, std::vector<std::int64_t>{7});
}

TEST(MakeModel, RefusesUnknownNamesAndNoClasses) {
  EXPECT_THROW(make_model("resnet51", 10), ConfigError);
  EXPECT_THROW(make_model("lenet5", 1), ConfigError);
  EXPECT_THROW(make_model("lenet5", -3), ConfigError);
}

}  // namespace
}  // namespace millrace
