// check_model and named_parameters of millrace/model.hpp.

#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/sum.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/functional/instancenorm.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/instancenorm.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <cmath>

#include "millrace/errors.hpp"
#include "millrace/joins.hpp"
#include "millrace/model.hpp"
#include "millrace/plain_forward.hpp"

namespace millrace {
namespace {

namespace nn = torch::nn;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Shape = std::vector<std::int64_t>;

Model empty_model(Shape sample_shape, std::int64_t classes = 0) {
  Model model;
  model.name = "mine";
  model.sample_shape = std::move(sample_shape);
  model.classes = classes;
  return model;
}

std::string refusal(const Model& model) {
  try {
    check_model(model);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

/// A user's own module around one that is given.
struct WrapperImpl : nn::Module {
  explicit WrapperImpl(std::shared_ptr<nn::Module> inside) { register_module("inside", inside); }
  torch::Tensor forward(torch::Tensor x) { return x; }
};
TORCH_MODULE(Wrapper);

struct SumOfBatchImpl : nn::Module {
  torch::Tensor forward(torch::Tensor x) { return x.sum(0); }
};
TORCH_MODULE(SumOfBatch);

Model small_model() {
  Model model = empty_model({3, 8, 10}, 5);
  model.add("conv", nn::Conv2d(nn::Conv2dOptions(3, 4, {3, 5}).stride(2).padding({1, 2})))
      .add("relu", nn::ReLU(nn::ReLUOptions().inplace(true)))
      .add("pool", nn::MaxPool2d(2))
      .add("average", nn::AvgPool2d(1))
      .add("adaptive", nn::AdaptiveAvgPool2d(nn::AdaptiveAvgPool2dOptions({2, 2})))
      .add("grouped", nn::Conv2d(nn::Conv2dOptions(4, 6, 1).groups(2)))
      .add("flatten", nn::Flatten())
      .add("dropout", nn::Dropout(0.5))
      .add("same", nn::Identity())
      .add("tanh", nn::Tanh())
      .add("head", nn::Linear(24, 5));
  return model;
}

TEST(CheckModel, TellsTypesAndShapes) {
  std::vector<std::string> types;
  std::vector<Shape> outputs;
  for (const LayerFacts& facts : check_model(small_model())) {
    types.push_back(facts.type);
    outputs.push_back(facts.output_shape);
  }
  EXPECT_THAT(types,
              ElementsAre("conv2d", "relu", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d",
                          "conv2d", "flatten", "dropout", "identity", "module", "linear"));
  EXPECT_EQ(outputs[0], (Shape{4, 4, 5}));
  EXPECT_EQ(outputs[2], (Shape{4, 2, 2}));
  EXPECT_EQ(outputs[5], (Shape{6, 2, 2}));
  EXPECT_EQ(outputs[6], Shape{24});
  EXPECT_EQ(outputs[10], Shape{5});
}

TEST(CheckModel, EachInputIsTheOutputBefore) {
  const auto facts = check_model(small_model());
  EXPECT_EQ(facts[0].input_shape, (Shape{3, 8, 10}));
  for (std::size_t i = 1; i < facts.size(); ++i) {
    EXPECT_EQ(facts[i].input_shape, facts[i - 1].output_shape) << facts[i].name;
  }
}

TEST(CheckModel, CountsBytesAndOperations) {
  const auto facts = check_model(small_model());
  EXPECT_EQ(facts[0].weights_bytes, (4 * 3 * 3 * 5 + 4) * 4);
  EXPECT_EQ(facts[0].forward_flops, 2.0 * (3 * 3 * 5) * (4 * 4 * 5));
  EXPECT_EQ(facts[0].backward_flops, facts[0].forward_flops) << "no input gradient";
  EXPECT_EQ(facts[5].forward_flops, 2.0 * (4 / 2) * (6 * 2 * 2));
  EXPECT_EQ(facts[5].backward_flops, 2 * facts[5].forward_flops);
  EXPECT_EQ(facts[10].forward_flops, 2.0 * 24 * 5);
  EXPECT_EQ(facts[2].forward_flops, 0);
  EXPECT_EQ(facts[2].weights_bytes, 0);
}

TEST(CheckModel, NoInputGradientBeforeTheFirstWeights) {
  Model model = empty_model({2, 3}, 4);
  model.add("flatten", nn::Flatten()).add("first", nn::Linear(6, 6)).add("head", nn::Linear(6, 4));
  const auto facts = check_model(model);
  EXPECT_EQ(facts[1].backward_flops, facts[1].forward_flops);
  EXPECT_EQ(facts[2].backward_flops, 2 * facts[2].forward_flops);
}

TEST(CheckModel, LeavesModesAndGradientsAsTheyWere) {
  Model model = small_model();
  model.add("wrapped", Wrapper(nn::Linear(2, 2).ptr()));
  auto wrapper = model.layers.back().module.ptr();
  wrapper->train();
  wrapper->children()[0]->eval();
  model.layers[7].module.ptr()->eval();
  check_model(model);
  EXPECT_TRUE(model.layers[0].module.ptr()->is_training());
  EXPECT_FALSE(model.layers[7].module.ptr()->is_training());
  EXPECT_TRUE(wrapper->is_training());
  EXPECT_FALSE(wrapper->children()[0]->is_training());
  EXPECT_FALSE(named_parameters(model)[0].second.grad().defined());
}

TEST(CheckModel, RefusesNoLayersOrNoShape) {
  EXPECT_THAT(refusal(empty_model({3})),
              AllOf(HasSubstr("[model] 'mine'"), HasSubstr("no layers")));
  Model model = empty_model({3, 0});
  model.add("fc", nn::Linear(3, 2));
  EXPECT_THAT(refusal(model), HasSubstr("3 x 0"));
}

TEST(CheckModel, RefusesNamesThatAreNot) {
  Model model = empty_model({4});
  model.add("fc", nn::Linear(4, 4)).add("fc", nn::Linear(4, 4));
  EXPECT_THAT(refusal(model), HasSubstr("two layers are called 'fc'"));
  model.layers[1].name = "";
  EXPECT_THAT(refusal(model), HasSubstr("layer 1 has no name"));
  model.layers[1] = {"bare", {}, {}};
  EXPECT_THAT(refusal(model), HasSubstr("'bare' has no module"));
}

TEST(CheckModel, RefusesTwoParametersOfOneName) {
  Model model = empty_model({4});
  model.add("a", Wrapper(nn::Linear(4, 4).ptr())).add("a.inside", nn::Linear(4, 4));
  EXPECT_THAT(refusal(model), HasSubstr("'a.inside.weight'"));
}

TEST(CheckModel, TellsWhoReadsWhom) {
  Model model = empty_model({4}, 4);
  model.add("a", nn::Linear(4, 4)).add("b", nn::Linear(4, 4)).add("sum", Add(), {"b", "a"});
  model.add("twice", Add(), {"sum", "sum"});
  const auto facts = check_model(model);
  EXPECT_THAT(facts[0].producers, ElementsAre(kSample));
  EXPECT_THAT(facts[1].producers, ElementsAre(0));
  EXPECT_THAT(facts[2].producers, ElementsAre(1, 0));
  EXPECT_THAT(facts[3].producers, ElementsAre(2, 2));
  EXPECT_THAT(facts[0].readers, ElementsAre(1, 2));
  EXPECT_THAT(facts[2].readers, ElementsAre(3));
  EXPECT_THAT(facts[3].readers, ElementsAre());
  EXPECT_EQ(facts[2].type, "add");
}

TEST(CheckModel, JoinsShapes) {
  Model model = empty_model({3, 8, 8});
  model.loss = [](const torch::Tensor& output, const torch::Tensor&) { return output.sum(); };
  model.add("a", nn::Conv2d(3, 4, 1)).add("b", nn::Conv2d(4, 6, 1));
  model.add("both", Concat(), {"a", "b"});
  EXPECT_EQ(check_model(model)[2].output_shape, (Shape{10, 8, 8}));
  model.add("sum", Add(), {"both", "a"});
  EXPECT_THAT(refusal(model),
              AllOf(HasSubstr("'sum' cannot take"), HasSubstr("10 x 8 x 8 and 4 x 8 x 8")));
}

TEST(CheckModel, RefusesWhatWouldBroadcast) {
  Model model = empty_model({3, 4, 4});
  model.loss = [](const torch::Tensor& output, const torch::Tensor&) { return output.sum(); };
  model.add("a", nn::Conv2d(3, 8, 1)).add("mean", nn::AdaptiveAvgPool2d(1));
  model.add("sum", Add(), {"a", "mean"});
  EXPECT_THAT(refusal(model), AllOf(HasSubstr("'sum'"), HasSubstr("inputs of one shape")));
}

TEST(CheckModel, RefusesToWorkInPlaceOnWhatOthersRead) {
  Model model = empty_model({4}, 4);
  model.add("a", nn::Linear(4, 4)).add("relu", nn::ReLU(nn::ReLUOptions().inplace(true)));
  model.add("sum", Add(), {"relu", "a"});
  EXPECT_THAT(refusal(model), AllOf(HasSubstr("'relu'"), HasSubstr("'a'"), HasSubstr("inplace")));
  model.layers[2].inputs = {"relu", "relu"};
  EXPECT_EQ(refusal(model), "");
}

/// a, then b and c beside each other; c is the last.
Model forked_model() {
  Model model = empty_model({4}, 4);
  model.add("a", nn::Linear(4, 4)).add("b", nn::Linear(4, 4));
  model.add("c", nn::Linear(4, 4), {"a"});
  return model;
}

TEST(CheckModel, AnAuxiliaryOutputNeedsNoReader) {
  Model model = forked_model();
  EXPECT_THAT(refusal(model), AllOf(HasSubstr("'b' is read by no layer"), HasSubstr("auxiliary")));
  model.auxiliary = {{"b", 0.3}};
  const auto facts = check_model(model);
  EXPECT_EQ(facts[1].auxiliary_weight, 0.3);
  EXPECT_EQ(facts[2].auxiliary_weight, 0);
  EXPECT_THAT(training_only(model), ElementsAre(false, true, false));
  for (const LayerFacts& layer : facts) EXPECT_EQ(layer.training_only, layer.name == "b");
  EXPECT_EQ(facts[0].uses(), 2);
  EXPECT_EQ(facts[1].uses(), 1);
  EXPECT_EQ(facts[2].uses(), 1);
}

TEST(CheckModel, AnAuxiliaryOutputMayBeReadToo) {
  Model model = forked_model();
  model.auxiliary = {{"a", 2}, {"b", 1}};
  const auto facts = check_model(model);
  EXPECT_EQ(facts[0].uses(), 3);
  EXPECT_FALSE(facts[0].training_only);
  model.add("relu", nn::ReLU(nn::ReLUOptions().inplace(true)), {"b"});
  model.add("sum", Add(), {"relu", "c"});
  EXPECT_THAT(refusal(model), AllOf(HasSubstr("'relu' works in place on the output of 'b'"),
                                    HasSubstr("the loss")));
}

TEST(CheckModel, RefusesAuxiliaryOutputsThatAreNone) {
  const auto refusal_of_output = [](std::vector<AuxiliaryOutput> outputs) {
    Model model = forked_model();
    model.auxiliary = std::move(outputs);
    return refusal(model);
  };
  EXPECT_THAT(refusal_of_output({{"d", 1}}), HasSubstr("auxiliary output 'd' is no layer"));
  EXPECT_THAT(refusal_of_output({{"c", 1}}), HasSubstr("'c' is the last layer"));
  EXPECT_THAT(refusal_of_output({{"b", 1}, {"b", 2}}), HasSubstr("'b' is named twice"));
  for (const double weight : {0.0, -0.3, double(NAN), double(INFINITY)})
    EXPECT_THAT(refusal_of_output({{"b", weight}}),
                AllOf(HasSubstr("'b' has the weight"), HasSubstr("above 0")));
}

TEST(CheckModel, AuxiliaryOutputsHaveTheLastLayersShape) {
  Model model = forked_model();
  model.layers[1].module = nn::AnyModule(nn::Linear(4, 5));
  model.auxiliary = {{"b", 0.3}};
  EXPECT_THAT(refusal(model), AllOf(HasSubstr("auxiliary output 'b' is 5"),
                                    HasSubstr("the last layer's is 4"), HasSubstr("equal")));
}

TEST(PlainForward, LeavesOutWhatAuxiliaryOutputsAloneNeed) {
  Model model = forked_model();
  model.auxiliary = {{"b", 0.3}, {"a", 1}};
  const at::Tensor x = at::linspace(-1, 1, 8).reshape({2, 4});
  const at::Tensor a = model.layers[0].module.forward(x), c = model.layers[2].module.forward(a);
  const auto outputs = plain_outputs(model, x);
  ASSERT_EQ(outputs.size(), 3u);
  EXPECT_TRUE(at::equal(outputs[0], c));
  EXPECT_TRUE(at::equal(outputs[1], model.layers[1].module.forward(a)));
  EXPECT_TRUE(at::equal(outputs[2], a));
  model.layers[1].module = nn::AnyModule(nn::Linear(7, 4));  // would throw
  EXPECT_TRUE(at::equal(plain_forward(model, x), c));
}

TEST(PlainForward, RunsTheGraph) {
  Model model = empty_model({4}, 4);
  model.add("a", nn::Linear(4, 4)).add("b", nn::Linear(4, 4)).add("sum", Add(), {"b", "a"});
  model.add("alone", Concat(), {"sum"});
  check_model(model);
  const at::Tensor x = at::linspace(-1, 1, 8).reshape({2, 4});
  const at::Tensor a = model.layers[0].module.forward(x), b = model.layers[1].module.forward(a);
  EXPECT_TRUE(at::equal(plain_forward(model, x), a + b));
}

TEST(CheckModel, RefusesAGraphThatCannotRun) {
  Model model = empty_model({4}, 4);
  model.add("a", nn::Linear(4, 4)).add("b", nn::Linear(4, 4)).add("c", nn::Linear(4, 4));
  model.layers[1].inputs = {"a"};
  EXPECT_EQ(refusal(model), "");
  model.layers[2].inputs = {"a"};
  EXPECT_THAT(refusal(model),
              AllOf(HasSubstr("'b' is read by no layer"), HasSubstr("leave it out")));
  model.layers[1].inputs = {"c"};
  EXPECT_THAT(refusal(model), HasSubstr("'b' reads 'c', which is not before it"));
  model.layers[1].inputs = {"b"};
  EXPECT_THAT(refusal(model), HasSubstr("'b' reads 'b', which is not before it"));
  model.layers[1].inputs = {"d"};
  EXPECT_THAT(refusal(model), HasSubstr("'b' reads 'd', which is no layer"));
}

TEST(CheckModel, NamesBothShapesThatDoNotFit) {
  Model linear = empty_model({3, 8, 8});
  linear.add("flatten", nn::Flatten()).add("fc", nn::Linear(100, 2));
  EXPECT_THAT(refusal(linear), AllOf(HasSubstr("'fc' takes 100 features"), HasSubstr("given 192")));
  Model conv = empty_model({1, 8, 8});
  conv.add("conv", nn::Conv2d(3, 4, 3));
  EXPECT_THAT(refusal(conv), AllOf(HasSubstr("3 channels"), HasSubstr("1 x 8 x 8")));
  Model tiny = empty_model({3, 2, 2});
  tiny.add("conv", nn::Conv2d(3, 4, 5));
  EXPECT_THAT(refusal(tiny), AllOf(HasSubstr("'conv' cannot take"), HasSubstr("3 x 2 x 2")));
}

TEST(CheckModel, RefusesALayerThatLosesTheBatch) {
  Model model = empty_model({4});
  model.add("sum", SumOfBatch());
  EXPECT_THAT(refusal(model), AllOf(HasSubstr("'sum'"), HasSubstr("batch")));
}

TEST(CheckModel, OutputFitsClassesUnlessTheModelHasALoss) {
  Model model = empty_model({4}, 10);
  model.add("fc", nn::Linear(4, 7));
  EXPECT_THAT(refusal(model), AllOf(HasSubstr("output is 7"), HasSubstr("10 classes")));
  model.classes = 0;
  EXPECT_EQ(refusal(model), "");
  model.classes = 10;
  model.loss = [](const torch::Tensor& output, const torch::Tensor&) { return output.sum(); };
  EXPECT_EQ(refusal(model), "");
}

template <typename Module>
std::string refusal_of(Module module, Shape shape = {4, 6, 6}) {
  Model model = empty_model(std::move(shape));
  model.add("it", module);
  return refusal(model);
}

TEST(CheckModel, RefusesWhatAPlanCannotKeepExact) {
  EXPECT_THAT(
      refusal_of(nn::InstanceNorm2d(nn::InstanceNorm2dOptions(4).track_running_stats(true))),
      HasSubstr("track_running_stats"));
  EXPECT_THAT(refusal_of(nn::Dropout2d(0.5)), HasSubstr("random draws"));
  EXPECT_THAT(refusal_of(nn::AlphaDropout(0.5)), HasSubstr("torch::nn::Dropout"));
  EXPECT_THAT(refusal_of(nn::RReLU()), HasSubstr("random draws"));
}

TEST(CheckModel, TakesBatchNormalisationThatLearns) {
  EXPECT_THAT(refusal_of(nn::BatchNorm2d(4)), HasSubstr("output is 4 x 6 x 6")) << "loss alone";
  EXPECT_THAT(refusal_of(nn::BatchNorm2d(nn::BatchNormOptions(4).affine(false))),
              AllOf(HasSubstr("'it'"), HasSubstr("weight, bias, running statistics")));
  EXPECT_THAT(refusal_of(nn::BatchNorm2d(nn::BatchNormOptions(4).momentum(c10::nullopt))),
              HasSubstr("momentum"));
  EXPECT_THAT(refusal_of(nn::BatchNorm3d(4), {4, 2, 6, 6}), HasSubstr("BatchNorm1d or"));
  EXPECT_THAT(refusal_of(nn::BatchNorm1d(4), {4, 6}), HasSubstr("takes rows of 4 features"));
}

TEST(CheckModel, LooksIntoModulesOfModules) {
  EXPECT_THAT(refusal_of(Wrapper(nn::BatchNorm2d(4).ptr())), HasSubstr("batch normalisation"));
  EXPECT_THAT(refusal_of(Wrapper(nn::Dropout(0.5).ptr())), HasSubstr("layer of its own"));
  EXPECT_THAT(refusal_of(Wrapper(Wrapper(nn::Dropout(0.5).ptr()).ptr())), HasSubstr("dropout"));
  EXPECT_EQ(refusal_of(Wrapper(nn::InstanceNorm2d(4).ptr()), {4}), "");
}

TEST(NamedParameters, AreInLayerOrderAndShareStorage) {
  const Model model = small_model();
  std::vector<std::string> names;
  for (const auto& [name, value] : named_parameters(model)) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("conv.weight", "conv.bias", "grouped.weight", "grouped.bias",
                                 "head.weight", "head.bias"));
  const auto first = model.layers[0].module.ptr()->parameters()[0];
  EXPECT_EQ(named_parameters(model)[0].second.data_ptr(), first.data_ptr());
}

TEST(NamedBuffers, AreTheRunningStatistics) {
  Model model = empty_model({4}, 4);
  model.add("a", nn::Linear(4, 4)).add("norm", nn::BatchNorm1d(4));
  std::vector<std::string> names;
  for (const auto& [name, value] : named_buffers(model)) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("norm.running_mean", "norm.running_var"));
}

}  // namespace
}  // namespace millrace
