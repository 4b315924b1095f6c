// Networks of text from ONNX files: the zoo's go out and come back; embeddings, places and LSTMs as
// torch.onnx.export writes them, node by node. (Files that torch.onnx.export 2.15 wrote of GPTs and
// LSTMs, with both exporters, opsets 13 to 23, optimised and not, for inference and for training,
// were compared with PyTorch by hand: outputs within 6e-7 of the largest, exported again, too.)

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/embedding.h>

#include "models/onnx/export.hpp"
#include "models/source.hpp"
#include "models/weights.hpp"
#include "models/zoo/zoo.hpp"
#include "tests/models/onnx_networks.hpp"
#include "tests/models/onnx_text_graph.hpp"

namespace millrace {
namespace {

using namespace millrace::testing;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// By parameter, of the loss of the batch, without dropout.
std::vector<at::Tensor> gradients(const Model& model, const at::Tensor& ids) {
  for (const Layer& layer : model.layers) layer.module.ptr()->eval();
  at::cross_entropy_loss(plain_forward(model, ids).flatten(0, 1), ids.flatten()).backward();
  std::vector<at::Tensor> result;
  for (const auto& [name, value] : named_parameters(model)) result.push_back(value.grad());
  return result;
}

class EveryTextBack : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryTextBack, HasTheSameWeightsOutputsAndGradients) {
  const Model model = make_model(GetParam(), 11);
  const ScratchFolder folder;
  export_onnx(model, folder / "net.onnx");
  const Model back = import_onnx(folder / "net.onnx");
  EXPECT_EQ(names_of(back), names_of(model));
  EXPECT_EQ(back.classes, 11);
  EXPECT_EQ(back.vocabulary, 11);
  EXPECT_EQ(back.sample_shape, model.sample_shape);
  const auto weights = named_parameters(model), again = named_parameters(back);
  ASSERT_EQ(weights.size(), again.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    EXPECT_EQ(weights[i].first, again[i].first);
    EXPECT_TRUE(at::equal(weights[i].second, again[i].second)) << weights[i].first;
  }
  at::manual_seed(1);
  const at::Tensor ids = random_inputs(model, 2);
  EXPECT_TRUE(at::allclose(evaluated(model, ids), evaluated(back, ids), 1e-6, 1e-6));
  const auto steps = gradients(model, ids), steps_again = gradients(back, ids);
  for (std::size_t i = 0; i < steps.size(); ++i)
    EXPECT_TRUE(at::allclose(steps[i], steps_again[i], 1e-5, 1e-8)) << weights[i].first;
  export_onnx(back, folder / "again.onnx");
  EXPECT_EQ(names_of(import_onnx(folder / "again.onnx")), names_of(model));
}

INSTANTIATE_TEST_SUITE_P(Zoo, EveryTextBack, ::testing::Values("char-gpt", "char-lstm"), test_name);

TEST(OnnxText, KeepsItsCharacters) {
  const ScratchFolder folder;
  const std::string named = folder / "named.onnx", plain = folder / "plain.onnx";
  export_onnx(make_model("char-lstm", 3), named, {.classes = {"a", "b", "\xc3\xb6"}});
  export_onnx(make_model("char-lstm", 3), plain);
  EXPECT_EQ(classes_in(named), (std::vector<std::string>{"a", "b", "\xc3\xb6"}));
  EXPECT_EQ(classes_in(plain), std::nullopt);
  EXPECT_TRUE(source_reads_text(named));
  EXPECT_TRUE(source_reads_text("char-gpt"));
  EXPECT_FALSE(source_reads_text("lenet5"));
}

TEST(OnnxText, ANewHeadIsForOtherCharacters) {
  const ScratchFolder folder;
  const std::string file = folder / "lstm.onnx";
  export_onnx(make_model("char-lstm", 3), file);
  EXPECT_THAT(message_of([&] { open_model(file, 5); }),
              AllOf(HasSubstr("3 outputs, the data have 5"), HasSubstr("--new-head")));
  const Model model = open_model(file, 5, 1, NewHead::always);
  EXPECT_EQ(model.vocabulary, 5);
  EXPECT_EQ(check_model(model).back().output_shape, (std::vector<std::int64_t>{128, 5}));
}

/// Behind extents of 1, and taken by constant positions, which are computed.
TEST(OnnxText, PlacesAreEmbedded) {
  TextGraph file;
  const at::Tensor places = file.constant("wpe.weight", {kPositions, kWidth});
  file.node("Shape", {"x"}, "sizes");
  file.numbers("second", {1});
  file.node("Gather", {"sizes", "second"}, "counts");
  file.node("Squeeze", {"counts"}, "count");
  for (const auto* number : {"zero", "one"}) {
    file.numbers(number, {number == std::string("one")});
    file.graph().mutable_initializer(file.graph().initializer_size() - 1)->clear_dims();
  }
  file.node("Range", {"zero", "count", "one"}, "range");
  file.numbers("axes", {0});
  file.node("Unsqueeze", {"range", "axes"}, "positions");
  file.node("Gather", {"wpe.weight", "positions"}, "places");
  file.node("Add", {"embedded", "places"}, "placed");
  file.end("placed");
  const Model model = file.model();
  EXPECT_THAT(names_of(model), ElementsAre("wte", "wpe", "y"));
  EXPECT_TRUE(at::equal(named_parameters(model)[1].second, places));
  const at::Tensor ids = ids_of(2);
  const at::Tensor expected = (file.embedding.index({ids}) + places).matmul(file.head.t());
  EXPECT_TRUE(at::allclose(evaluated(model, ids), expected, 1e-5, 1e-5));
}

/// PyTorch's form of nn.LSTM(batch_first=True): positions first, zeros of a computed shape.
struct Lstm : TextGraph {
  onnx::NodeProto* lstm = nullptr;

  explicit Lstm(std::int64_t layers = 1, const std::string& dropout = "") {
    transpose("embedded", "by_position", {1, 0, 2});
    node("Shape", {"embedded"}, "sizes");
    numbers("first", {0});
    node("Gather", {"sizes", "first"}, "batch");
    numbers("one", {1});
    numbers("width", {kWidth});
    set(node("Concat", {"one", "batch", "width"}, "extents"), "axis", 0);
    node("ConstantOfShape", {"extents"}, "zeros");
    numbers("direction", {1});
    std::string last = "by_position";
    for (std::int64_t i = 0; i < layers; ++i) {
      if (i > 0 && !dropout.empty()) {
        node("Dropout", {last, dropout, "training"}, "dropped");
        last = "dropped";
      }
      last = add(last, i);
    }
    transpose(last, "states", {1, 0, 2});
    end("states");
  }

  std::string add(const std::string& from, std::int64_t i) {
    const std::string own = "l" + std::to_string(i);
    constant(own + ".w", {1, 4 * kWidth, kWidth});
    constant(own + ".r", {1, 4 * kWidth, kWidth});
    constant(own + ".b", {1, 8 * kWidth});
    lstm = &node("LSTM", {from, own + ".w", own + ".r", own + ".b", "", "zeros", "zeros"},
                 own + ".all");
    lstm->set_name("/" + own + "/LSTM");
    lstm->add_output(own + ".h");
    lstm->add_output(own + ".c");
    set(*lstm, "hidden_size", kWidth);
    node("Squeeze", {own + ".all", "direction"}, own + ".states");
    return own + ".states";
  }

  /// The recurrence of layer i, written out: gates input, output, forget, cell.
  at::Tensor states(at::Tensor x, int i) const {
    const auto find = [&](const std::string& name) {
      for (const auto& one : proto.graph().initializer())
        if (one.name() == "l" + std::to_string(i) + name)
          return at::tensor(at::ArrayRef<float>(one.float_data().data(),
                                                static_cast<std::size_t>(one.float_data_size())));
      throw std::runtime_error("no weight " + name);
    };
    const at::Tensor w = find(".w").view({4 * kWidth, kWidth}),
                     r = find(".r").view({4 * kWidth, kWidth}),
                     b = find(".b").view({2, 4 * kWidth}).sum(0);
    at::Tensor h = at::zeros({x.size(0), kWidth}), c = h;
    std::vector<at::Tensor> all;
    for (std::int64_t p = 0; p < x.size(1); ++p) {
      const auto gates = (x.select(1, p).matmul(w.t()) + h.matmul(r.t()) + b).chunk(4, 1);
      c = gates[2].sigmoid() * c + gates[0].sigmoid() * gates[3].tanh();
      h = gates[1].sigmoid() * c.tanh();
      all.push_back(h);
    }
    return at::stack(all, 1);
  }
};

TEST(OnnxText, AnLstmIsALayer) {
  const Lstm file;
  const Model model = file.model();
  EXPECT_THAT(names_of(model), ElementsAre("wte", "l0", "y"));
  EXPECT_NE(model.layers[1].module.ptr()->as<SequenceLSTMImpl>(), nullptr);
  const at::Tensor ids = ids_of(2);
  const at::Tensor states = file.states(file.embedding.index({ids}), 0);
  EXPECT_TRUE(at::allclose(evaluated(model, ids), states.matmul(file.head.t()), 1e-4, 1e-5));
}

TEST(OnnxText, LstmsOneBehindTheOtherWithDropoutBetween) {
  Lstm file(2, "share");
  file.number("share", 0.25);
  file.numbers("training", {1});
  const Model model = file.model();
  EXPECT_THAT(names_of(model), ElementsAre("wte", "l0", "dropped", "l1", "y"));
  const auto* dropout = model.layers[2].module.ptr()->as<torch::nn::DropoutImpl>();
  ASSERT_NE(dropout, nullptr);
  EXPECT_EQ(dropout->options.p(), 0.25);
  const at::Tensor ids = ids_of(2);
  const at::Tensor states = file.states(file.states(file.embedding.index({ids}), 0), 1);
  EXPECT_TRUE(at::allclose(evaluated(model, ids), states.matmul(file.head.t()), 1e-4, 1e-5));
}

TEST(OnnxText, RefusesOtherLstms) {
  const auto refusal = [](const auto& change) {
    Lstm file;
    change(file);
    return file.refusal();
  };
  const auto text = [](onnx::NodeProto& node, const char* name) -> onnx::AttributeProto& {
    auto& attribute = *node.add_attribute();
    attribute.set_name(name);
    return attribute;
  };
  EXPECT_EQ(refusal([](Lstm&) {}), "");
  EXPECT_THAT(refusal([&](Lstm& file) { text(*file.lstm, "direction").set_s("reverse"); }),
              AllOf(HasSubstr("node '/l0/LSTM'"), HasSubstr("direction reverse, forward is")));
  EXPECT_THAT(refusal([&](Lstm& file) {
                auto& all = text(*file.lstm, "activations");
                for (const char* one : {"Sigmoid", "Relu", "Tanh"}) all.add_strings(one);
              }),
              HasSubstr("activations Sigmoid, Relu, Tanh"));
  EXPECT_THAT(refusal([](Lstm& file) { set(*file.lstm, "input_forget", 1); }),
              HasSubstr("has input_forget = 1"));
  EXPECT_THAT(refusal([&](Lstm& file) { text(*file.lstm, "clip").set_f(3); }),
              HasSubstr("clips its gates"));
  EXPECT_THAT(refusal([](Lstm& file) {
                file.numbers("lengths", {5, 5});
                file.lstm->set_input(4, "lengths");
              }),
              HasSubstr("has lengths of sequences"));
  EXPECT_THAT(refusal([](Lstm& file) {
                file.constant("begin", {1, 1, kWidth});
                file.lstm->set_input(5, "begin");
              }),
              HasSubstr("begins with states that are not 0"));
  EXPECT_THAT(refusal([](Lstm& file) {
                file.graph().mutable_output(0)->set_name("last");
                file.node("Gather", {"states", "first"}, "last");
              }),
              HasSubstr("node '/last/Gather'"));
}

TEST(OnnxText, RefusesOtherIds) {
  TextGraph pairs;
  pairs.graph()
      .mutable_input(0)
      ->mutable_type()
      ->mutable_tensor_type()
      ->mutable_shape()
      ->add_dim()
      ->set_dim_value(2);
  pairs.end("embedded");
  EXPECT_THAT(pairs.refusal(), HasSubstr("token ids are read as [N, positions]"));
  TextGraph bytes;
  bytes.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->set_elem_type(
      onnx::TensorProto::UINT8);
  bytes.end("embedded");
  EXPECT_THAT(bytes.refusal(), HasSubstr("neither float32 nor int64"));
  TextGraph bare;
  bare.node("Relu", {"x"}, "y");
  EXPECT_THAT(bare.refusal(), HasSubstr("reads token ids, which an embedding alone may"));
  TextGraph rows;
  rows.node("Flatten", {"embedded"}, "flat");
  rows.end("flat", kPositions * kWidth);
  EXPECT_THAT(rows.refusal(), HasSubstr("makes [7] of 5 token ids, [positions, vocabulary]"));
  GraphFile numbers({kPositions});
  numbers.constant("wte.weight", {kTokens, kWidth});
  numbers.node("Gather", {"wte.weight", "x"}, "y");
  EXPECT_THAT(numbers.refusal(), HasSubstr("something else than the token ids"));
}

/// An exporter that turns weights calls them anew, biases keep their names.
TEST(OnnxText, ALayerIsCalledAsItsBias) {
  TextGraph file;
  file.constant("val_8", {kWidth, kTokens});
  file.constant("h.0.head.bias", {kTokens});
  file.node("MatMul", {"embedded", "val_8"}, "product");
  file.node("Add", {"product", "h.0.head.bias"}, "y");
  EXPECT_THAT(names_of(file.model()), ElementsAre("wte", "h.0.head"));
}

/// Where an exporter has turned the tied weights, nothing but their values says so.
TEST(OnnxText, WarnsOfWeightsThatWereTied) {
  TextGraph file;
  file.tensor("val_8", file.embedding.t());
  file.node("MatMul", {"embedded", "val_8"}, "y");
  ::testing::internal::CaptureStderr();
  EXPECT_THAT(names_of(file.model()), ElementsAre("wte", "y"));
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              HasSubstr("'y' has the weights of 'wte', from here on they train apart"));
}

/// GPT-2 ties its head to its embedding.
TEST(OnnxText, RefusesTiedWeights) {
  TextGraph file;
  file.transpose("wte.weight", "turned", {1, 0});
  file.node("MatMul", {"embedded", "turned"}, "y");
  EXPECT_THAT(file.refusal(), AllOf(HasSubstr("node '/y/MatMul'"), HasSubstr("'wte.weight'"),
                                    HasSubstr("node '/embedded/Gather'")));
}

}  // namespace
}  // namespace millrace
