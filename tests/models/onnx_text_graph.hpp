#pragma once
// ONNX graphs of networks that read token ids, for tests: [N, 5 positions] of 7 ids, 8 numbers a
// position, 2 heads.

#include <torch/nn/modules/linear.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "millrace/sequence.hpp"
#include "tests/models/onnx_graph.hpp"

namespace millrace::testing {

constexpr std::int64_t kTokens = 7, kPositions = 5, kWidth = 8, kHeads = 2;

/// What follows an embedding and precedes a head, node by node.
struct TextGraph : GraphFile {
  at::Tensor embedding, head;

  explicit TextGraph(std::int64_t opset = 17) : GraphFile({kPositions}, opset) {
    graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->set_elem_type(
        onnx::TensorProto::INT64);
    embedding = constant("wte.weight", {kTokens, kWidth});
    node("Gather", {"wte.weight", "x"}, "embedded");
  }

  void number(const std::string& name, double value) {
    tensor(name, at::full({}, static_cast<float>(value)));
  }
  /// A linear layer without bias, from `width` numbers of `from`.
  at::Tensor product(const std::string& from, const std::string& to, std::int64_t width,
                     std::int64_t outputs) {
    const at::Tensor weight = constant(to + ".weight", {outputs, width});
    set(node("Transpose", {to + ".weight"}, to + ".turned"), "perm",
        std::vector<std::int64_t>{1, 0});
    node("MatMul", {from, to + ".turned"}, to);
    return weight;
  }
  void end(const std::string& from, std::int64_t width = kWidth) {
    head = product(from, "y", width, kTokens);
  }
  onnx::NodeProto& transpose(const std::string& from, const std::string& to,
                             const std::vector<std::int64_t>& order) {
    onnx::NodeProto& turned = node("Transpose", {from}, to);
    set(turned, "perm", order);
    return turned;
  }
};

/// How attention is written; the defaults are what CausalAttention does.
struct AttentionForm {
  double scale = 1 / std::sqrt(static_cast<double>(kWidth / kHeads));
  std::int64_t first_masked = 1;  ///< positions behind one's own
  bool masks = true;
  std::string dropout;      ///< its ratio's name; "": none
  std::int64_t trains = 1;  ///< whether the dropout is for training
  std::string added = "";   ///< to the scores; "": nothing
};

/// Attention of the values q, k and v as PyTorch writes the one by hand: scores, a mask of 0 and 1,
/// softmax.
inline void add_attention(TextGraph& file, const AttentionForm& form, const std::string& to) {
  file.numbers("by_head", {0, 0, kHeads, kWidth / kHeads});
  const auto by_head = [&](const std::string& name, const std::vector<std::int64_t>& order) {
    file.node("Reshape", {name, "by_head"}, name + ".by_head");
    file.transpose(name + ".by_head", name + ".heads", order);
  };
  by_head("q", {0, 2, 1, 3});
  by_head("k", {0, 2, 3, 1});
  by_head("v", {0, 2, 1, 3});
  file.node("MatMul", {"q.heads", "k.heads"}, "products");
  file.number("scale", form.scale);
  file.node("Mul", {"products", "scale"}, "scores");
  std::string last = "scores";
  if (!form.added.empty()) {
    file.node("Add", {last, form.added}, "biased");
    last = "biased";
  }
  if (form.masks) {
    const at::Tensor seen = at::ones({1, 1, kPositions, kPositions}).tril(form.first_masked - 1);
    file.tensor("seen", seen);
    file.number("zero", 0);
    file.number("never", -std::numeric_limits<float>::infinity());
    file.node("Equal", {"seen", "zero"}, "hidden");
    file.node("Where", {"hidden", "never", last}, "masked");
    last = "masked";
  }
  set(file.node("Softmax", {last}, "shares"), "axis", -1);
  last = "shares";
  if (!form.dropout.empty()) {
    file.numbers("training", {form.trains});
    file.node("Dropout", {"shares", form.dropout, "training"}, "kept");
    last = "kept";
  }
  file.node("MatMul", {last, "v.heads"}, "mixed");
  file.transpose("mixed", "mixed.by_position", {0, 2, 1, 3});
  file.numbers("whole", {0, 0, kWidth});
  file.node("Reshape", {"mixed.by_position", "whole"}, to);
}

/// The same of one linear layer's outputs.
inline TextGraph attention_graph(const AttentionForm& form = {}) {
  TextGraph file;
  file.product("embedded", "qkv", kWidth, 3 * kWidth);
  set(file.node("Split", {"qkv"}, "q"), "axis", 2);
  for (const char* name : {"k", "v"})
    file.graph().mutable_node(file.graph().node_size() - 1)->add_output(name);
  add_attention(file, form, "attended");
  file.end("attended");
  return file;
}

inline at::Tensor ids_of(std::int64_t samples) {
  at::manual_seed(5);
  return at::randint(kTokens, {samples, kPositions}, at::kLong);
}

}  // namespace millrace::testing
