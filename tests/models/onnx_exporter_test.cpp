// What torch.onnx.export writes since it takes dynamo=True for granted, here node by node: opset
// 20, shapes and biases that are computed, and notes of what was folded away. (Files of
// PyTorch 2.15 of eight of torchvision's networks, with its own settings and with optimize=False,
// for inference and for training, batches fixed and open, were compared by hand: outputs within
// 2e-6 of the largest.)

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>
#include <torch/nn/modules/conv.h>

#include "tests/models/onnx_graph.hpp"

namespace millrace {
namespace {

using namespace millrace::testing;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

void constant_node(GraphFile& file, const std::string& name,
                   const std::vector<std::int64_t>& values) {
  set(file.node("Constant", {}, name), "value_ints", values);
}

/// A graph that computes how many samples there are as a row, "batch"; "row" is {-1}.
GraphFile reshaped(const std::vector<std::int64_t>& sample) {
  GraphFile file(sample, 20);
  auto& shape = file.node("Shape", {"x"}, "sizes");
  set(shape, "start", 0);
  set(shape, "end", 1);
  file.node("Squeeze", {"sizes"}, "size");
  constant_node(file, "row", {-1});
  file.node("Reshape", {"size", "row"}, "batch");
  return file;
}

Model finished(GraphFile& file, const std::vector<std::string>& extents) {
  set(file.node("Concat", extents, "shape"), "axis", 0);
  set(file.node("Reshape", {"x", "shape"}, "y"), "allowzero", 1);
  return file.model();
}

TEST(ImportOnnx, OpsetsFromElevenToTwentyFive) {
  for (const std::int64_t opset : {11, 17, 18, 19, 20, 21, 22, 25}) {
    GraphFile file({4}, opset);
    file.node("Relu", {"x"}, "y");
    EXPECT_EQ(file.refusal(), "") << opset;
  }
  GraphFile next({4}, 26);
  next.node("Relu", {"x"}, "y");
  EXPECT_THAT(next.refusal(), HasSubstr("is of opset 26, 11 to 25 are read"));
}

TEST(ImportOnnx, AveragesOfNeighboursAlone) {
  const auto pool = [](const std::vector<std::int64_t>& dilations) {
    GraphFile file({2, 8, 8}, 20);
    auto& node = file.node("AveragePool", {"x"}, "pool");
    set(node, "kernel_shape", std::vector<std::int64_t>{2, 2});
    set(node, "dilations", dilations);
    file.node("Flatten", {"pool"}, "y");
    return file.refusal();
  };
  EXPECT_EQ(pool({1, 1}), "");
  EXPECT_THAT(pool({2, 2}), AllOf(HasSubstr("node '/pool/AveragePool'"),
                                  HasSubstr("has the dilations [2, 2]"), HasSubstr("use a ")));
}

TEST(ImportOnnx, RowsOfAShapeThatIsComputed) {
  GraphFile fixed = reshaped({2, 3, 4});
  constant_node(fixed, "width", {24});
  EXPECT_THAT(names_of(finished(fixed, {"batch", "width"})), ElementsAre("y"));
  GraphFile open = reshaped({2, 3, 4});
  EXPECT_THAT(names_of(finished(open, {"batch", "row"})), ElementsAre("y"));
  GraphFile narrow = reshaped({2, 3, 4});
  constant_node(narrow, "width", {12});
  EXPECT_THAT(message_of([&] {
                finished(narrow, {"batch", "width"});
              }),
              HasSubstr("makes rows of 12 numbers of 24"));
  GraphFile turned = reshaped({2, 3, 4});
  EXPECT_THAT(message_of([&] {
                finished(turned, {"row", "batch"});
              }),
              AllOf(HasSubstr("node '/y/Reshape'"), HasSubstr("computes a shape")));
  GraphFile cube = reshaped({2, 3, 4});
  EXPECT_THAT(message_of([&] {
                finished(cube, {"batch", "row", "row"});
              }),
              HasSubstr("makes 3 dimensions, rows of 2 are trained"));
}

/// x.view(x.size(0), x.size(1)), as dynamo=False writes it behind a pooling.
TEST(ImportOnnx, RowsOfTheSizesOfAValue) {
  const auto rows = [](std::int64_t first, std::int64_t second) {
    GraphFile file({5, 4, 4});
    file.node("GlobalAveragePool", {"x"}, "mean");
    file.node("Shape", {"mean"}, "sizes");
    file.numbers("axes", {0});
    for (const std::int64_t index : {first, second}) {
      const std::string name = "size" + std::to_string(index);
      file.numbers("index" + name, {index});
      file.graph().mutable_initializer(file.graph().initializer_size() - 1)->clear_dims();
      file.node("Gather", {"sizes", "index" + name}, name);
      file.node("Unsqueeze", {name, "axes"}, "row" + name);
    }
    set(file.node("Concat", {"rowsize" + std::to_string(first), "rowsize" + std::to_string(second)},
                  "shape"),
        "axis", 0);
    file.node("Reshape", {"mean", "shape"}, "y");
    return file;
  };
  const Model model = rows(0, 1).model();
  const at::Tensor inputs = inputs_of(model, 2);
  EXPECT_TRUE(at::allclose(evaluated(model, inputs), inputs.mean({2, 3})));
  EXPECT_EQ(rows(-4, 1).refusal(), "");
  EXPECT_THAT(rows(1, 2).refusal(), HasSubstr("computes a shape"));
  EXPECT_THAT(rows(0, 7).refusal(),
              AllOf(HasSubstr("node '/size7/Gather'"), HasSubstr("computes no constant: ")));
}

TEST(ImportOnnx, ABiasOfZerosThatIsComputedIsNone) {
  GraphFile file({3, 8, 8}, 20);
  file.constant("c.weight", {4, 3, 3, 3});
  auto& shape = file.node("Shape", {"c.weight"}, "outputs");
  set(shape, "end", 1);
  file.constant("zero", {});
  file.graph().mutable_initializer(1)->set_float_data(0, 0);
  file.node("CastLike", {"zero", "x"}, "same");
  file.node("Expand", {"same", "outputs"}, "bias");
  file.node("Conv", {"x", "c.weight", "bias"}, "c");
  file.node("Flatten", {"c"}, "y");
  const auto bias = [&] {
    const Model model = file.model();
    return model.layers[0].module.ptr()->as<torch::nn::Conv2dImpl>()->bias;
  };
  EXPECT_FALSE(bias().defined());
  file.graph().mutable_initializer(1)->set_float_data(0, 2);
  EXPECT_TRUE(at::equal(bias(), at::full({4}, 2.0)));
}

TEST(ImportOnnx, RefusesShapesThatItDoesNotCompute) {
  GraphFile product = reshaped({4});
  product.node("Mul", {"batch", "row"}, "rows");
  product.node("Reshape", {"x", "rows"}, "y");
  EXPECT_THAT(product.refusal(), AllOf(HasSubstr("node '/rows/Mul'"), HasSubstr("flatten(x, 1)")));
  GraphFile huge({4}, 20);
  huge.constant("c", {1});
  constant_node(huge, "many", {std::int64_t{1} << 40});
  huge.node("Expand", {"c", "many"}, "w");
  huge.node("Gemm", {"x", "w"}, "y");
  EXPECT_THAT(huge.refusal(), HasSubstr("a constant of extent 1099511627776"));
  GraphFile other({4}, 20);
  other.numbers("n", {3});
  other.node("CastLike", {"n", "x"}, "w");
  other.node("Gemm", {"x", "w"}, "y");
  EXPECT_THAT(other.refusal(), HasSubstr("another type"));
}

/// A shape of 2^times numbers, were it computed.
GraphFile doubled(int times) {
  GraphFile file({4}, 20);
  file.numbers("c0", {1});
  for (int i = 0; i < times; ++i) {
    const std::string from = fmt::format("c{}", i);
    set(file.node("Concat", {from, from}, fmt::format("c{}", i + 1)), "axis", 0);
  }
  file.node("Reshape", {"x", fmt::format("c{}", times)}, "y");
  return file;
}

TEST(ImportOnnx, ChainsOfConstantsEnd) {
  EXPECT_THAT(doubled(2000).refusal(), HasSubstr("node '/c65/Concat'"));
  EXPECT_THAT(doubled(40).refusal(), HasSubstr("numbers, 1048576 at most are computed"));
}

TEST(ImportOnnx, ANameIsNotMadeOfItself) {
  GraphFile file({4});
  file.constant("w", {4, 4});
  file.node("Identity", {"w"}, "v");
  file.node("Identity", {"v"}, "w");
  file.node("Gemm", {"x", "w"}, "y");
  EXPECT_EQ(file.refusal(), "");
}

TEST(ImportOnnx, ATransposeThatLeavesTheOrderTurnsNothing) {
  GraphFile file({4});
  const at::Tensor weight = file.constant("f.weight", {4, 4});
  set(file.node("Transpose", {"f.weight"}, "t"), "perm", std::vector<std::int64_t>{0, 1});
  file.node("MatMul", {"x", "t"}, "y");
  const Model model = file.model();
  const at::Tensor inputs = inputs_of(model, 3);
  EXPECT_TRUE(at::allclose(evaluated(model, inputs), inputs.mm(weight)));
}

/// A convolution's file; `note` is what its node says of the optimiser.
std::string warned_of(const std::string& note, bool normalised, bool drops) {
  GraphFile file({3, 8, 8}, 20);
  file.constant("c.weight", {3, 3, 3, 3});
  auto& conv = file.node("Conv", {"x", "c.weight"}, "h");
  conv.set_doc_string(note);  // metadata_props is unknown to libonnx 1.12, text is text
  std::string last = "h";
  if (normalised) {
    for (const char* name : {"w", "b", "m", "v"}) file.constant(name, {3});
    file.node("BatchNormalization", {"h", "w", "b", "m", "v"}, "n");
    last = "n";
  }
  if (drops) {
    file.constant("ratio", {});
    file.graph().mutable_initializer(file.graph().initializer_size() - 1)->set_float_data(0, 0.5f);
    file.numbers("training", {1});
    file.node("Dropout", {last, "ratio", "training"}, "d");
    last = "d";
  }
  file.node("Flatten", {last}, "y");
  ::testing::internal::CaptureStderr();
  file.model();
  return ::testing::internal::GetCapturedStderr();
}

TEST(ImportOnnx, SaysWhatTheExporterHasFolded) {
  for (const bool drops : {false, true})
    EXPECT_THAT(warned_of("FuseBatchNormIntoConv", false, drops),
                AllOf(HasSubstr("folded into 1 layers, '/h/Conv' the first"),
                      HasSubstr("optimize=False"), Not(HasSubstr("for inference"))));
  EXPECT_THAT(warned_of("", false, false), HasSubstr("was exported for inference"));
  EXPECT_THAT(warned_of("", true, false),
              AllOf(HasSubstr("has no dropout"), Not(HasSubstr("warning"))));
  EXPECT_EQ(warned_of("", false, true), "");
}

}  // namespace
}  // namespace millrace
