// Functions of several ONNX nodes are known by what they compute: attention, layer normalisation
// and GELU as exporters spell them out, and what differs from them in one thing.

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/normalization.h>

#include "models/onnx/export.hpp"
#include "tests/models/onnx_text_graph.hpp"

namespace millrace {
namespace {

using namespace millrace::testing;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

at::Tensor logits(const TextGraph& file, const at::Tensor& x) { return x.matmul(file.head.t()); }

at::Tensor attended(const TextGraph& file, const Model& model, const at::Tensor& ids) {
  const at::Tensor weight = named_parameters(model)[1].second;
  return logits(file,
                CausalAttention(kHeads)->forward(file.embedding.index({ids}).matmul(weight.t())));
}

TEST(OnnxFunction, AttentionIsOneLayer) {
  const TextGraph file = attention_graph();
  const Model model = file.model();
  EXPECT_THAT(names_of(model), ElementsAre("wte", "qkv", "attended", "y"));
  const auto* attention = model.layers[2].module.ptr()->as<CausalAttentionImpl>();
  ASSERT_NE(attention, nullptr);
  EXPECT_EQ(attention->heads(), kHeads);
  const at::Tensor ids = ids_of(3);
  EXPECT_TRUE(at::allclose(evaluated(model, ids), attended(file, model, ids), 1e-5, 1e-5));
}

/// As F.scaled_dot_product_attention is written: the scale's root at both sides, a mask of a
/// computed size, parts of a sequence.
TEST(OnnxFunction, AttentionAsPyTorchComputesIt) {
  TextGraph file(20);
  file.product("embedded", "qkv", kWidth, 3 * kWidth);
  file.number("root", std::pow(static_cast<double>(kWidth / kHeads), -0.25));
  file.numbers("width", {kWidth});
  file.numbers("by_head", {0, 0, kHeads, kWidth / kHeads});
  set(file.node("SplitToSequence", {"qkv", "width"}, "parts"), "axis", 2);
  const std::vector<std::string> names = {"q", "k", "v"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string& name = names[i];
    file.numbers("of_" + name, {static_cast<std::int64_t>(i)});
    file.node("SequenceAt", {"parts", "of_" + name}, name);
    file.node("Reshape", {name, "by_head"}, name + ".by_head");
    file.transpose(name + ".by_head", name + ".heads", {0, 2, 1, 3});
  }
  file.numbers("from", {-2});
  file.numbers("to", {-1});
  file.node("Shape", {"q.heads"}, "sizes");
  file.node("Slice", {"sizes", "from", "to"}, "positions");
  set(file.node("Concat", {"positions", "positions"}, "square"), "axis", 0);
  file.number("one", 1);
  file.number("zero", 0);
  file.number("least", std::numeric_limits<float>::lowest());
  file.node("Expand", {"one", "square"}, "ones");
  set(file.node("Trilu", {"ones"}, "seen"), "upper", 0);
  file.node("Equal", {"seen", "zero"}, "hidden");
  file.node("Where", {"hidden", "least", "zero"}, "mask");
  file.transpose("k.heads", "k.turned", {0, 1, 3, 2});
  file.node("Mul", {"q.heads", "root"}, "q.scaled");
  file.node("Mul", {"k.turned", "root"}, "k.scaled");
  file.node("MatMul", {"q.scaled", "k.scaled"}, "scores");
  file.node("Add", {"scores", "mask"}, "masked");
  set(file.node("Softmax", {"masked"}, "shares"), "axis", -1);
  file.node("MatMul", {"shares", "v.heads"}, "mixed");
  file.transpose("mixed", "mixed.by_position", {0, 2, 1, 3});
  file.numbers("whole", {-1, kPositions, kWidth});
  file.node("Reshape", {"mixed.by_position", "whole"}, "attended");
  file.end("attended");
  const Model model = file.model();
  EXPECT_THAT(names_of(model), ElementsAre("wte", "qkv", "attended", "y"));
  const at::Tensor ids = ids_of(2);
  EXPECT_TRUE(at::allclose(evaluated(model, ids), attended(file, model, ids), 1e-5, 1e-5));
}

/// Opset 23's.
TEST(OnnxFunction, AttentionByItsOperator) {
  const auto graph = [](bool causal) {
    TextGraph file(23);
    file.product("embedded", "qkv", kWidth, 3 * kWidth);
    auto& parts = file.node("Split", {"qkv"}, "q");
    set(parts, "axis", 2);
    set(parts, "num_outputs", 3);
    for (const char* name : {"k", "v"}) parts.add_output(name);
    file.numbers("by_head", {0, 0, kHeads, kWidth / kHeads});
    for (const std::string name : {"q", "k", "v"}) {
      file.node("Reshape", {name, "by_head"}, name + ".by_head");
      file.transpose(name + ".by_head", name + ".heads", {0, 2, 1, 3});
    }
    set(file.node("Attention", {"q.heads", "k.heads", "v.heads"}, "mixed"), "is_causal", causal);
    file.transpose("mixed", "mixed.by_position", {0, 2, 1, 3});
    file.numbers("whole", {0, 0, kWidth});
    file.node("Reshape", {"mixed.by_position", "whole"}, "attended");
    file.end("attended");
    return file;
  };
  const TextGraph file = graph(true);
  const Model model = file.model();
  EXPECT_THAT(names_of(model), ElementsAre("wte", "qkv", "attended", "y"));
  const at::Tensor ids = ids_of(2);
  EXPECT_TRUE(at::allclose(evaluated(model, ids), attended(file, model, ids), 1e-5, 1e-5));
  EXPECT_THAT(graph(false).refusal(), HasSubstr("node '/q/Split'"));
}

TEST(OnnxFunction, WhatIsNearlyAttentionIsRefused) {
  const auto refusal = [](const AttentionForm& form) { return attention_graph(form).refusal(); };
  EXPECT_EQ(refusal({}), "");
  const auto split = AllOf(HasSubstr("own.onnx"), HasSubstr("node '/q/Split' (Split) is no"));
  EXPECT_THAT(refusal({.masks = false}), split);
  EXPECT_THAT(refusal({.scale = 0.49}), split);
  EXPECT_THAT(refusal({.first_masked = 2}), split) << "the next position is seen";
  EXPECT_THAT(refusal({.first_masked = 0}), split) << "the position itself is not";
}

TEST(OnnxFunction, DropoutInsideAttentionIsRefused) {
  TextGraph dropped = attention_graph({.dropout = "share"});
  dropped.number("share", 0.25);
  EXPECT_THAT(dropped.refusal(),
              AllOf(HasSubstr("node '/kept/Dropout'"), HasSubstr("that dropout at 0")));
  TextGraph kept = attention_graph({.dropout = "share"});
  kept.number("share", 0);
  EXPECT_EQ(kept.refusal(), "");
}

/// Of three linear layers that `from` says.
TextGraph apart(const std::vector<std::string>& from, bool read_again = false) {
  TextGraph file;
  file.node("Relu", {"embedded"}, "bent");
  const std::vector<std::string> names = {"q", "k", "v"};
  for (std::size_t i = 0; i < names.size(); ++i) file.product(from[i], names[i], kWidth, kWidth);
  add_attention(file, {}, "attended");
  if (read_again) file.node("Add", {"attended", "k"}, "sum");
  file.end(read_again ? "sum" : "attended");
  return file;
}

TEST(OnnxFunction, ProjectionsApartAreJoined) {
  const TextGraph file = apart({"bent", "bent", "bent"});
  const Model model = file.model();
  EXPECT_THAT(names_of(model), ElementsAre("wte", "bent", "qkv", "attended", "y"));
  const at::Tensor ids = ids_of(2);
  const at::Tensor weight = named_parameters(model)[1].second;
  const at::Tensor mixed =
      CausalAttention(kHeads)->forward(file.embedding.index({ids}).relu().matmul(weight.t()));
  EXPECT_TRUE(at::allclose(evaluated(model, ids), logits(file, mixed), 1e-5, 1e-5));
  EXPECT_THAT(apart({"bent", "bent", "embedded"}).refusal(),
              HasSubstr("not linear layers of one value"));
  EXPECT_THAT(apart({"bent", "bent", "bent"}, true).refusal(),
              HasSubstr("attends to 'k', which others read, too"));
}

/// As opsets before 17 have it; `axis` is normalised, `centred` takes the mean away.
TextGraph normalised(std::int64_t axis, bool centred = true) {
  TextGraph file(13);
  const auto mean = [&](const std::string& of, const std::string& to) {
    auto& node = file.node("ReduceMean", {of}, to);
    set(node, "axes", std::vector<std::int64_t>{axis});
  };
  file.number("two", 2);
  file.number("epsilon", 1e-3);
  mean("embedded", "mean");
  file.node("Sub", {"embedded", "mean"}, "deviation");
  file.node("Pow", {centred ? "deviation" : "embedded", "two"}, "square");
  mean("square", "variance");
  file.node("Add", {"variance", "epsilon"}, "safe");
  file.node("Sqrt", {"safe"}, "spread");
  file.node("Div", {"deviation", "spread"}, "normal");
  file.constant("ln.weight", {kWidth});
  file.constant("ln.bias", {kWidth});
  file.node("Mul", {"normal", "ln.weight"}, "scaled");
  file.node("Add", {"scaled", "ln.bias"}, "shifted");
  file.end("shifted");
  return file;
}

TEST(OnnxFunction, LayerNormalisationInSmallOperators) {
  const TextGraph file = normalised(-1);
  const Model model = file.model();
  EXPECT_THAT(names_of(model), ElementsAre("wte", "ln", "y"));
  const auto* norm = model.layers[1].module.ptr()->as<torch::nn::LayerNormImpl>();
  ASSERT_NE(norm, nullptr);
  EXPECT_FLOAT_EQ(static_cast<float>(norm->options.eps()), 1e-3f);
  const at::Tensor ids = ids_of(2);
  const at::Tensor normal =
      at::layer_norm(file.embedding.index({ids}), {kWidth}, norm->weight, norm->bias, 1e-3);
  EXPECT_TRUE(at::allclose(evaluated(model, ids), logits(file, normal), 1e-5, 1e-5));
  EXPECT_THAT(normalised(1).refusal(), HasSubstr("node '/mean/ReduceMean'"));
  EXPECT_THAT(normalised(-1, false).refusal(), HasSubstr("node '/mean/ReduceMean'"));
}

TEST(OnnxFunction, LayerNormalisationByItsOperator) {
  const auto normalised_by = [](const std::vector<std::int64_t>& scale, bool has_bias) {
    TextGraph file;
    file.constant("ln.weight", scale);
    auto& node = file.node("LayerNormalization", {"embedded", "ln.weight"}, "normal");
    set(node, "axis", -std::ssize(scale));
    if (has_bias) {
      file.constant("ln.bias", scale);
      node.add_input("ln.bias");
    }
    file.end("normal");
    return file;
  };
  for (const bool has_bias : {false, true}) {
    const TextGraph file = normalised_by({kWidth}, has_bias);
    const Model model = file.model();
    EXPECT_THAT(names_of(model), ElementsAre("wte", "ln", "y"));
    const auto* norm = model.layers[1].module.ptr()->as<torch::nn::LayerNormImpl>();
    ASSERT_NE(norm, nullptr);
    EXPECT_EQ(norm->bias.count_nonzero().item<std::int64_t>(), has_bias ? kWidth : 0);
    const at::Tensor ids = ids_of(2);
    const at::Tensor normal =
        at::layer_norm(file.embedding.index({ids}), {kWidth}, norm->weight, norm->bias, 1e-5);
    EXPECT_TRUE(at::allclose(evaluated(model, ids), logits(file, normal), 1e-5, 1e-5));
  }
  EXPECT_THAT(normalised_by({kPositions, kWidth}, true).refusal(),
              HasSubstr("from axis -2 on with a scale of [5, 8], the last extent"));
}

/// By the error function, by tanh, and one that is neither.
TextGraph bent(const std::string& how) {
  TextGraph file;
  std::string inner = "embedded";
  if (how != "Erf") {
    file.number("three", 3);
    file.number("share", how == "Tanh" ? 0.044715 : 0.05);
    file.node("Pow", {"embedded", "three"}, "cube");
    file.node("Mul", {"cube", "share"}, "part");
    file.node("Add", {"embedded", "part"}, "inner");
    inner = "inner";
  }
  file.number("scale", how == "Erf" ? std::sqrt(0.5) : std::sqrt(2 / 3.141592653589793));
  file.number("one", 1);
  file.number("half", 0.5);
  file.node("Mul", {inner, "scale"}, "scaled");
  file.node(how == "Erf" ? "Erf" : "Tanh", {"scaled"}, "bend");
  file.node("Add", {"bend", "one"}, "raised");
  file.node("Mul", {"embedded", "raised"}, "doubled");
  file.node("Mul", {"doubled", "half"}, "bent");
  file.end("bent");
  return file;
}

TEST(OnnxFunction, GeluOfBothKinds) {
  for (const char* how : {"Erf", "Tanh"}) {
    const TextGraph file = bent(how);
    const Model model = file.model();
    EXPECT_THAT(names_of(model), ElementsAre("wte", "bent", "y"));
    const auto* gelu = model.layers[1].module.ptr()->as<torch::nn::GELUImpl>();
    ASSERT_NE(gelu, nullptr);
    EXPECT_EQ(gelu->options.approximate(), how == std::string("Erf") ? "none" : "tanh");
    const at::Tensor ids = ids_of(2);
    EXPECT_TRUE(at::allclose(
        evaluated(model, ids),
        logits(file, at::gelu(file.embedding.index({ids}), gelu->options.approximate())), 1e-5,
        1e-5));
  }
  const ScratchFolder folder;
  export_onnx(bent("Tanh").model(), folder / "tanh.onnx");
  EXPECT_THAT(names_of(import_onnx(folder / "tanh.onnx")), ElementsAre("wte", "bent", "y"));
  EXPECT_THAT(bent("own").refusal(), HasSubstr("node '/cube/Pow' (Pow) is no operator"));
}

TEST(OnnxFunction, OthersMayNotReadWhatIsInside) {
  TextGraph file = attention_graph();
  file.node("Relu", {"mixed.by_position"}, "also");
  file.node("Add", {"y", "also"}, "both");
  file.graph().mutable_output(0)->set_name("both");
  EXPECT_THAT(file.refusal(), HasSubstr("node '/q/Split'"));
}

}  // namespace
}  // namespace millrace
