// Networks from ONNX files: the zoo goes out and comes back; what torch.onnx.export writes of the
// same operators in other ways, made here node by node. (Files that torch.onnx.export 2.15 wrote of
// eight of torchvision's networks, opsets 11 and 17, for inference and for training, were compared
// with PyTorch and onnxruntime by hand: outputs within 2e-6 of the largest.)

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "models/onnx/export.hpp"
#include "models/onnx/import.hpp"
#include "models/source.hpp"
#include "models/weights.hpp"
#include "models/zoo/zoo.hpp"
#include "tests/models/data/image_files.hpp"
#include "tests/models/onnx_graph.hpp"
#include "tests/models/onnx_networks.hpp"

namespace millrace {
namespace {

using namespace millrace::testing;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class EveryNetworkBack : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryNetworkBack, HasTheSameWeightsAndOutputs) {
  const Model model = make_model(GetParam(), 10);
  const ScratchFolder folder;
  export_onnx(model, folder / "net.onnx");
  const Model back = import_onnx(folder / "net.onnx");
  EXPECT_EQ(back.name, "net");
  EXPECT_EQ(back.classes, 10);
  EXPECT_EQ(back.sample_shape, model.sample_shape);
  const auto weights = weights_of(without_heads(model)), again = weights_of(back);
  ASSERT_EQ(weights.size(), again.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    EXPECT_EQ(weights[i].name, again[i].name);
    EXPECT_EQ(weights[i].shape, again[i].shape);
  }
  const at::Tensor inputs = inputs_of(model, 2);
  EXPECT_TRUE(at::equal(evaluated(model, inputs), evaluated(back, inputs)));
}

INSTANTIATE_TEST_SUITE_P(Zoo, EveryNetworkBack, every_network(), test_name);

TEST(ImportOnnx, AProductAndASumAreALinearLayer) {
  GraphFile file({6});
  const at::Tensor weight = file.constant("onnx::MatMul_3", {6, 4}), bias = file.constant("b", {4});
  file.node("MatMul", {"x", "onnx::MatMul_3"}, "product");
  file.node("Add", {"b", "product"}, "sum");
  file.node("LogSoftmax", {"sum"}, "y");
  const Model model = file.model();
  EXPECT_THAT(names_of(model), ElementsAre("product"));
  const at::Tensor inputs = inputs_of(model, 3);
  EXPECT_TRUE(at::allclose(evaluated(model, inputs), at::addmm(bias, inputs, weight)));
}

TEST(ImportOnnx, AGemmThatIsNotTransposed) {
  GraphFile file({6});
  const at::Tensor weight = file.constant("fc.weight", {6, 4});
  file.node("Gemm", {"x", "fc.weight"}, "y");
  const Model model = file.model();
  EXPECT_THAT(names_of(model), ElementsAre("fc"));
  const at::Tensor inputs = inputs_of(model, 3);
  EXPECT_TRUE(at::allclose(evaluated(model, inputs), inputs.mm(weight)));
}

TEST(ImportOnnx, TheMeanOverPixelsWithAndWithoutThem) {
  for (const std::int64_t opset : {17, 18}) {
    for (const std::int64_t keep : {0, 1}) {
      GraphFile file({5, 4, 3}, opset);
      auto& mean = file.node("ReduceMean", {"x"}, keep == 1 ? "mean" : "y");
      if (opset == 18) {
        file.numbers("axes", {-1, 2});
        mean.add_input("axes");
      } else {
        set(mean, "axes", std::vector<std::int64_t>{2, 3});
      }
      set(mean, "keepdims", keep);
      file.numbers("shape", {0, -1});
      if (keep == 1) file.node("Reshape", {"mean", "shape"}, "y");
      const Model model = file.model();
      const at::Tensor inputs = inputs_of(model, 2);
      EXPECT_TRUE(at::allclose(evaluated(model, inputs), inputs.mean({2, 3})));
    }
  }
}

TEST(ImportOnnx, TrainingModesOfNormalisationAndDropout) {
  GraphFile file({3, 4, 4}, 14);
  for (const char* name : {"bn.weight", "bn.bias", "mean", "var"}) file.constant(name, {3});
  auto& norm = file.node("BatchNormalization", {"x", "bn.weight", "bn.bias", "mean", "var"}, "n");
  set(norm, "training_mode", 1);
  norm.add_output("new_mean");
  norm.add_output("new_var");
  auto& momentum = *norm.add_attribute();
  momentum.set_name("momentum");
  momentum.set_f(0.75f);
  file.node("Dropout", {"n"}, "d").add_output("mask");
  set(file.node("Flatten", {"d"}, "y"), "axis", 1);
  const Model model = file.model();
  EXPECT_THAT(names_of(model), ElementsAre("bn", "d", "y"));
  const auto* normed = model.layers[0].module.ptr()->as<torch::nn::BatchNorm2dImpl>();
  ASSERT_NE(normed, nullptr);
  EXPECT_EQ(normed->options.momentum().value(), 0.25);
  EXPECT_EQ(model.layers[1].module.ptr()->as<torch::nn::DropoutImpl>()->options.p(), 0.5);
}

TEST(ImportOnnx, WhatLeadsToNoOutputIsLeftOut) {
  GraphFile file({4});
  file.constant("a.weight", {3, 4});
  file.constant("b.weight", {2, 4});
  set(file.node("Gemm", {"x", "a.weight"}, "side"), "transB", 1);
  set(file.node("Gemm", {"x", "b.weight"}, "y"), "transB", 1);
  file.node("Softmax", {"side"}, "z");
  file.graph().add_output()->set_name("z");
  EXPECT_THAT(names_of(file.model()), ElementsAre("b"));
}

TEST(ImportOnnx, RefusesWithTheNode) {
  GraphFile unknown({4});
  unknown.node("Erf", {"x"}, "y");
  EXPECT_THAT(unknown.refusal(),
              AllOf(HasSubstr("own.onnx"), HasSubstr("node '/y/Erf' (Erf) is no operator")));
  GraphFile pads({3, 8, 8});
  pads.constant("c.weight", {4, 3, 3, 3});
  set(pads.node("Conv", {"x", "c.weight"}, "y"), "pads", std::vector<std::int64_t>{0, 0, 1, 1});
  EXPECT_THAT(pads.refusal(), HasSubstr("pads [0, 0, 1, 1], both sides alike"));
  GraphFile computed({4});
  computed.node("Flatten", {"x"}, "shape");
  computed.node("Reshape", {"x", "shape"}, "y");
  EXPECT_THAT(computed.refusal(), HasSubstr("computes a shape"));
  GraphFile dangling({4});
  dangling.node("Relu", {"nothing"}, "y");
  EXPECT_THAT(dangling.refusal(), HasSubstr("reads 'nothing', which no node before it makes"));
  GraphFile scaled({4});
  scaled.constant("w", {4, 4});
  auto& alpha = *scaled.node("Gemm", {"x", "w"}, "y").add_attribute();
  alpha.set_name("alpha");
  alpha.set_f(2);
  EXPECT_THAT(scaled.refusal(), HasSubstr("scales its product"));
}

TEST(ImportOnnx, ATransposedWeightKeepsItsName) {
  GraphFile file({6});
  const at::Tensor weight = file.constant("f.weight", {4, 6});
  file.node("Transpose", {"f.weight"}, "t");
  file.node("MatMul", {"x", "t"}, "y");
  const Model model = file.model();
  EXPECT_THAT(names_of(model), ElementsAre("f"));
  const at::Tensor inputs = inputs_of(model, 3);
  EXPECT_TRUE(at::allclose(evaluated(model, inputs), inputs.mm(weight.t())));
}

TEST(ImportOnnx, NormalisationOfRowsIsOfRows) {
  GraphFile file({6});
  for (const char* name : {"w", "b", "m", "v"}) file.constant(name, {6});
  file.node("BatchNormalization", {"x", "w", "b", "m", "v"}, "y");
  const Model model = file.model();
  EXPECT_NE(model.layers[0].module.ptr()->as<torch::nn::BatchNorm1dImpl>(), nullptr);
}

TEST(ImportOnnx, ConstantsThatNobodyReadsMayBeOfAnyType) {
  GraphFile file({4});
  file.constant("w", {4, 4});
  file.graph().mutable_initializer(0)->set_data_type(onnx::TensorProto::DOUBLE);
  file.node("Relu", {"x"}, "y");
  EXPECT_THAT(names_of(file.model()), ElementsAre("y"));
}

TEST(ImportOnnx, RefusesWhatItWouldMakeOtherwise) {
  const auto sum = [](const char* type) {
    GraphFile file({4});
    file.constant("c", {4});
    set(file.node(type, {"x", "c"}, "y"), "axis", 1);
    return file.refusal();
  };
  EXPECT_THAT(sum("Sum"), HasSubstr("reads a constant"));
  EXPECT_THAT(sum("Concat"), HasSubstr("reads a constant"));
  GraphFile shared({4});
  shared.constant("w", {4, 4});
  shared.constant("b", {4});
  shared.node("MatMul", {"x", "w"}, "m");
  shared.node("Add", {"m", "b"}, "s");
  shared.node("Add", {"s", "m"}, "y");
  EXPECT_THAT(shared.refusal(), HasSubstr("that other nodes read, too"));
  GraphFile narrow({2, 3, 4});
  narrow.numbers("shape", {-1, 12});
  narrow.node("Reshape", {"x", "shape"}, "y");
  EXPECT_THAT(narrow.refusal(), HasSubstr("makes rows of 12 numbers of 24"));
  GraphFile doubled({4});
  doubled.node("Add", {"x", "x"}, "y");
  EXPECT_THAT(doubled.refusal(), HasSubstr("reads the sample twice"));
  GraphFile shape({4});
  shape.node("Shape", {"x"}, "s");
  shape.node("Reshape", {"x", "s"}, "y");
  EXPECT_THAT(shape.refusal(), HasSubstr("use torch.flatten(x, 1)"));
}

TEST(ImportOnnx, RefusesConstantsThatReadThemselves) {
  GraphFile own({4});
  own.node("Shape", {"s"}, "s");
  own.node("Reshape", {"x", "s"}, "y");
  EXPECT_THAT(own.refusal(), AllOf(HasSubstr("own.onnx"), HasSubstr("node '/s/Shape' (Shape)"),
                                   HasSubstr("reads what it makes")));
  GraphFile circle({4});
  circle.numbers("axes", {0});
  circle.node("Shape", {"b"}, "a");
  circle.node("Unsqueeze", {"a", "axes"}, "b");
  circle.node("Reshape", {"x", "b"}, "y");
  EXPECT_THAT(circle.refusal(),
              AllOf(HasSubstr("own.onnx"), HasSubstr("node '/"), HasSubstr("reads what it makes")));
  GraphFile weight({4});
  weight.node("Shape", {"s"}, "s");
  weight.node("Reshape", {"x", "s"}, "f");
  weight.constant("w", {4, 4});
  weight.node("Gemm", {"f", "w"}, "y");
  EXPECT_THAT(weight.refusal(), HasSubstr("reads what it makes"));
}

TEST(ImportOnnx, RefusesConstantsOfAShapeThatDoesNotFit) {
  GraphFile file({4});
  file.numbers("four", {1, 2, 3, 4});
  file.numbers("three", {3});
  file.node("Reshape", {"four", "three"}, "s");
  file.node("Reshape", {"x", "s"}, "y");
  EXPECT_THAT(file.refusal(),
              AllOf(HasSubstr("node '/s/Reshape'"), HasSubstr("computes no constant")));
}

TEST(ImportOnnx, NamesAreUtf8) {
  GraphFile file({4});
  file.constant("caf\xe9.weight", {4, 4});
  file.constant("caf\xe8.weight", {4, 4});
  file.node("Gemm", {"x", "caf\xe9.weight"}, "h");
  file.node("Gemm", {"h", "caf\xe8.weight"}, "y");
  EXPECT_THAT(names_of(file.model()), ElementsAre("caf\uFFFD", "caf\uFFFD_2"));
  const ScratchFolder folder;
  write_file_atomically(folder / "\xe9.onnx", file.proto.SerializeAsString(), "test");
  EXPECT_THAT(message_of([&] { import_onnx(folder / "\xe9.onnx"); }), HasSubstr("not UTF-8"));
}

TEST(ImportOnnx, RefusesSharedWeights) {
  GraphFile file({4});
  file.constant("w", {4, 4});
  file.node("Gemm", {"x", "w"}, "first");
  file.node("Identity", {"w"}, "same");
  file.node("Gemm", {"first", "same"}, "y");
  EXPECT_THAT(file.refusal(), AllOf(HasSubstr("node '/y/Gemm'"), HasSubstr("the weights 'w'"),
                                    HasSubstr("node '/first/Gemm'")));
}

TEST(ImportOnnx, RefusesWeightsThatDoNotFit) {
  const auto conv = [](const std::vector<std::int64_t>& weight,
                       const std::vector<std::int64_t>& bias, std::int64_t groups) {
    GraphFile file({3, 8, 8});
    file.constant("w", weight);
    file.constant("b", bias);
    set(file.node("Conv", {"x", "w", "b"}, "y"), "group", groups);
    return file.refusal();
  };
  EXPECT_THAT(conv({4, 3, 3, 3}, {4}, 0), HasSubstr("has 0 groups for 4 outputs"));
  EXPECT_THAT(conv({4, 3, 3, 3}, {4}, 3), HasSubstr("has 3 groups for 4 outputs"));
  EXPECT_THAT(conv({4, 3, 3, 3}, {1}, 1), HasSubstr("weights of [1] where [4] are needed"));
  EXPECT_THAT(conv({4, 3, 3}, {4}, 1), HasSubstr("weights of 3 dimensions"));
  EXPECT_THAT(conv({4, 3, 0, 3}, {4}, 1), HasSubstr("has no constant weight"));
  GraphFile norm({3, 4, 4});
  norm.constant("w", {3});
  for (const char* name : {"b", "m", "v"}) norm.constant(name, {1});
  norm.node("BatchNormalization", {"x", "w", "b", "m", "v"}, "y");
  EXPECT_THAT(norm.refusal(), HasSubstr("weights of [1] where [3] are needed"));
  GraphFile product({4});
  product.constant("w", {2, 4, 4});
  product.node("MatMul", {"x", "w"}, "y");
  EXPECT_THAT(product.refusal(), HasSubstr("weights of 3 dimensions"));
  GraphFile single({4});
  single.constant("w", {4, 4});
  single.node("MatMul", {"x", "w"}, "m");
  single.node("Add", {"m"}, "y");
  EXPECT_THAT(single.refusal(), HasSubstr("has one input"));
  GraphFile clip({4});
  clip.constant("low", {2});
  clip.node("Clip", {"x", "low"}, "y");
  EXPECT_THAT(clip.refusal(), HasSubstr("has 2 numbers as input 1"));
  GraphFile huge({std::int64_t{1} << 40, std::int64_t{1} << 40});
  huge.node("Relu", {"x"}, "y");
  EXPECT_THAT(huge.refusal(), HasSubstr("is the batch its first extent"));
}

TEST(ImportOnnx, RefusesDamagedAndForeignFiles) {
  const ScratchFolder folder;
  write_file_atomically(folder / "text.onnx", "no protobuf at all", "test");
  EXPECT_THAT(message_of([&] { import_onnx(folder / "text.onnx"); }), HasSubstr("no ONNX network"));
  EXPECT_THAT(message_of([&] { import_onnx(folder / "none.onnx"); }), HasSubstr("none.onnx"));
  GraphFile old({4}, 9);
  old.node("Relu", {"x"}, "y");
  EXPECT_THAT(old.refusal(), HasSubstr("opset 9, 11 to 25 are read"));
  GraphFile open({3, -1, -1});
  open.node("Relu", {"x"}, "y");
  EXPECT_THAT(open.refusal(), HasSubstr("extent 2 of the input 'x' is open"));
  GraphFile short_tensor({4});
  short_tensor.constant("w", {4, 4});
  short_tensor.graph().mutable_initializer(0)->set_dims(0, 5);
  short_tensor.node("Gemm", {"x", "w"}, "y");
  EXPECT_THAT(short_tensor.refusal(), HasSubstr("'w' has 16 values, its shape needs 20"));
  GraphFile half({4});
  half.constant("w", {4, 4});
  half.graph().mutable_initializer(0)->set_data_type(onnx::TensorProto::FLOAT16);
  half.node("Gemm", {"x", "w"}, "y");
  EXPECT_THAT(half.refusal(), HasSubstr("'w' is FLOAT16"));
}

}  // namespace
}  // namespace millrace
