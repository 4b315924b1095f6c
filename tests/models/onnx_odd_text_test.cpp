// Networks of text that are nearly what is read, and damaged ones.

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "millrace/errors.hpp"
#include "tests/models/onnx_text_graph.hpp"

namespace millrace {
namespace {

using namespace millrace::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// x / sqrt(mean(x^2) + epsilon) times `weight`: no layer normalisation, whatever its weight.
TextGraph scaled_by_its_size(const at::Tensor& weight) {
  TextGraph file;
  file.number("two", 2);
  file.number("epsilon", 1e-5);
  file.node("Pow", {"embedded", "two"}, "square");
  set(file.node("ReduceMean", {"square"}, "size"), "axes", std::vector<std::int64_t>{-1});
  file.node("Add", {"size", "epsilon"}, "safe");
  file.node("Sqrt", {"safe"}, "root");
  file.node("Div", {"embedded", "root"}, "normal");
  file.tensor("rms.weight", weight);
  file.node("Mul", {"normal", "rms.weight"}, "scaled");
  file.end("scaled");
  return file;
}

TEST(OnnxOddText, ZerosAreNotTakenForAnything) {
  EXPECT_THAT(scaled_by_its_size(at::ones({kWidth})).refusal(), HasSubstr("node '/square/Pow'"));
  EXPECT_THAT(scaled_by_its_size(at::zeros({kWidth})).refusal(), HasSubstr("node '/square/Pow'"));
}

TEST(OnnxOddText, AParameterThatChangesNothingYetIsNotLost) {
  TextGraph file = attention_graph({.added = "relative"});
  file.tensor("relative", at::zeros({kHeads, kPositions, kPositions}));
  EXPECT_THAT(file.refusal(),
              AllOf(HasSubstr("node '/biased/Add'"), HasSubstr("reads 'relative', whose numbers")));
}

TEST(OnnxOddText, DropoutInsideIsTheNetworksWhateverTheExportersMode) {
  TextGraph file = attention_graph({.dropout = "share", .trains = 0});
  file.number("share", 0.25);
  EXPECT_THAT(file.refusal(), HasSubstr("that dropout at 0"));
  TextGraph never = attention_graph({.dropout = "share"});
  never.number("share", 1.5);
  EXPECT_THAT(never.refusal(), HasSubstr("no share between 0 and 1"));
}

TEST(OnnxOddText, ANumberOfEachPositionIsNoBias) {
  TextGraph file;
  file.product("embedded", "made", kWidth, kPositions);
  file.constant("by_position", {kPositions, 1});
  file.node("Add", {"made", "by_position"}, "sum");
  file.end("sum", kPositions);
  EXPECT_THAT(file.refusal(), HasSubstr("adds [5, 1] to a product of 5 numbers"));
}

TEST(OnnxOddText, ABiasIsNotForThoseWhoReadTheProductItself) {
  TextGraph file;
  file.product("embedded", "made", kWidth, kWidth);
  file.node("Identity", {"made"}, "same");
  file.constant("bias", {kWidth});
  file.node("Add", {"same", "bias"}, "biased");
  file.node("Relu", {"made"}, "bent");
  file.node("Add", {"biased", "bent"}, "sum");
  file.end("sum");
  EXPECT_THAT(file.refusal(), HasSubstr("other nodes read, too"));
}

TEST(OnnxOddText, EachIdIsReadAndAnswered) {
  TextGraph file;
  file.product("embedded", "y", kWidth, kTokens - 1);
  EXPECT_THAT(file.refusal(), HasSubstr("embeds 7 token ids and answers with 6 numbers"));
}

TEST(OnnxOddText, ASoftmaxOverThePositionsIsNotTheLosss) {
  const auto ended = [](std::int64_t axis) {
    TextGraph file;
    file.product("embedded", "scores", kWidth, kTokens);
    set(file.node("Softmax", {"scores"}, "y"), "axis", axis);
    return file;
  };
  EXPECT_EQ(ended(2).refusal(), "");
  EXPECT_THAT(ended(1).refusal(), HasSubstr("is over axis 1"));
}

TEST(OnnxOddText, WhatCannotBeComputedIsRefused) {
  TextGraph constant;
  constant.constant("c", {4});
  constant.node("Split", {"c"}, "y").add_output("other");
  EXPECT_THAT(constant.refusal(), HasSubstr("node '/y/Split'"));
  TextGraph lonely;
  lonely.node("Add", {"embedded"}, "y");
  EXPECT_THAT(lonely.refusal(), HasSubstr("a sum needs two"));
  TextGraph least;
  least.numbers("least", {std::numeric_limits<std::int64_t>::min()});
  least.numbers("minus", {-1});
  least.node("Div", {"least", "minus"}, "shape");
  least.node("Reshape", {"embedded", "shape"}, "y");
  EXPECT_THAT(least.refusal(), HasSubstr("own.onnx"));
  TextGraph wide;
  wide.graph()
      .mutable_input(0)
      ->mutable_type()
      ->mutable_tensor_type()
      ->mutable_shape()
      ->mutable_dim(0)
      ->set_dim_value(std::int64_t{1} << 40);
  wide.end("embedded");
  EXPECT_THAT(wide.refusal(), HasSubstr("has a batch of 1099511627776, 1024 at most"));
}

/// With every kind of thing that can be damaged.
TextGraph whole() {
  TextGraph file = attention_graph({.dropout = "share"});
  file.number("share", 0);
  return file;
}

template <typename Repeated>
auto* any_of(Repeated* all, std::mt19937& random) {
  return all->Mutable(static_cast<int>(random() % static_cast<unsigned>(all->size())));
}

/// One change of the kinds that a file by hand or a faulty exporter has.
void damage(onnx::GraphProto& graph, std::mt19937& random) {
  onnx::NodeProto& node = *any_of(graph.mutable_node(), random);
  const onnx::NodeProto& other = *any_of(graph.mutable_node(), random);
  onnx::TensorProto& tensor = *any_of(graph.mutable_initializer(), random);
  if (node.input().empty()) return;  // an earlier change took the last one
  switch (random() % 8) {
    case 0:
      node.set_op_type(other.op_type());
      break;
    case 1:
      *any_of(node.mutable_input(), random) = other.output(0);
      break;
    case 2:
      any_of(node.mutable_input(), random)->clear();
      break;
    case 3:
      node.mutable_input()->RemoveLast();
      break;
    case 4:
      node.set_output(0, other.output(0));
      break;
    case 5:
      node.mutable_attribute()->Clear();
      break;
    case 6:
      if (tensor.int64_data_size() > 0)
        *any_of(tensor.mutable_int64_data(), random) = std::int64_t(random() % 9) - 4;
      break;
    default:
      set(node, "axis", std::int64_t(random() % 9) - 4);
  }
}

TEST(OnnxOddText, DamagedFilesAreErrorsOfTheUserOrNetworks) {
  const TextGraph file = whole();
  ASSERT_EQ(file.refusal(), "");
  std::mt19937 random(3);
  int errors = 0, networks = 0;
  for (int round = 0; round < 400; ++round) {
    TextGraph damaged = file;
    for (int n = 1 + int(random() % 3); n > 0; --n) damage(damaged.graph(), random);
    try {
      damaged.model();
      ++networks;
    } catch (const ConfigError&) {
      ++errors;
    }
  }
  EXPECT_GT(errors, 100);
  EXPECT_GT(networks, 10);
}

}  // namespace
}  // namespace millrace
