// Exported networks: valid ONNX with the shapes of the model, and the operators' attributes. (Their
// outputs were compared with onnxruntime's by hand, reference/onnx_outputs.py.)

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/checker.h>
#include <onnx/onnx_pb.h>
#include <onnx/shape_inference/implementation.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "models/onnx/export.hpp"
#include "models/onnx/import.hpp"
#include "models/zoo/zoo.hpp"
#include "tests/models/data/image_files.hpp"
#include "tests/models/onnx_networks.hpp"

namespace millrace {
namespace {

using namespace millrace::testing;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

onnx::ModelProto exported(const Model& model) {
  const ScratchFolder folder;
  export_onnx(model, folder / "model.onnx");
  onnx::ModelProto proto;
  EXPECT_TRUE(proto.ParseFromString(read_file(folder / "model.onnx", "test")));
  return proto;
}

const onnx::NodeProto& node_of(const onnx::ModelProto& proto, const std::string& name) {
  for (const auto& node : proto.graph().node())
    if (node.name() == name) return node;
  throw std::runtime_error("no node " + name);
}

std::vector<std::int64_t> attribute(const onnx::NodeProto& node, const std::string& name) {
  for (const auto& one : node.attribute()) {
    if (one.name() != name) continue;
    if (one.has_i()) return {one.i()};
    return {one.ints().begin(), one.ints().end()};
  }
  return {};
}

class EveryNetwork : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryNetwork, IsValidAndKeepsTheShapes) {
  const Model model = make_model(GetParam(), 10);
  onnx::ModelProto proto = exported(model);
  EXPECT_NO_THROW(onnx::checker::check_model(proto));
  onnx::shape_inference::InferShapes(proto, onnx::OpSchemaRegistry::Instance(),
                                     onnx::ShapeInferenceOptions(true, 1, false));
  std::vector<LayerFacts> facts = check_model(model);
  std::erase_if(facts, [](const LayerFacts& layer) { return layer.training_only; });
  std::map<std::string, std::vector<std::int64_t>> shapes;
  for (const auto& value : proto.graph().value_info())
    for (const auto& dim : value.type().tensor_type().shape().dim())
      shapes[value.name()].push_back(dim.dim_value());
  for (std::size_t l = 0; l + 1 < facts.size(); ++l) {
    std::vector<std::int64_t> expected = facts[l].output_shape;
    expected.insert(expected.begin(), 0);  // N
    EXPECT_EQ(shapes[facts[l].name], expected) << facts[l].name;
  }
  const Model kept = without_heads(model);
  const auto weights = static_cast<int>(named_parameters(kept).size() + named_buffers(kept).size());
  int found = 0;
  for (const auto& tensor : proto.graph().initializer()) found += tensor.has_raw_data() ? 1 : 0;
  EXPECT_EQ(found, weights);
}

INSTANTIATE_TEST_SUITE_P(Zoo, EveryNetwork, every_network(), test_name);
INSTANTIATE_TEST_SUITE_P(Text, EveryNetwork, ::testing::Values("char-gpt", "char-lstm"), test_name);

TEST(ExportOnnx, KeepsWhatOperatorsAreTold) {
  const onnx::ModelProto proto = exported(make_model("resnet18", 10));
  const auto& conv = node_of(proto, "conv1");
  EXPECT_EQ(conv.op_type(), "Conv");
  EXPECT_THAT(conv.input(), ElementsAre("input", "conv1.weight"));
  EXPECT_THAT(attribute(conv, "strides"), ElementsAre(2, 2));
  EXPECT_THAT(attribute(conv, "pads"), ElementsAre(3, 3, 3, 3));
  const auto& norm = node_of(proto, "bn1");
  EXPECT_THAT(norm.input(), ElementsAre("conv1", "bn1.weight", "bn1.bias", "bn1.running_mean",
                                        "bn1.running_var"));
  EXPECT_THAT(node_of(proto, "layer1.0.sum").input(), ElementsAre("layer1.0.bn2", "maxpool"));
  EXPECT_EQ(node_of(proto, "avgpool").op_type(), "GlobalAveragePool");
  EXPECT_THAT(node_of(proto, "fc").output(), ElementsAre("output"));
  EXPECT_THAT(
      attribute(node_of(exported(make_model("squeezenet1_1", 10)), "features.2"), "ceil_mode"),
      ElementsAre(1));
}

TEST(ExportOnnx, TellsOfTheDataAndIsReadBack) {
  const ScratchFolder folder;
  Model model{.name = "own", .sample_shape = {1, 2, 2}, .classes = 2};
  model.add("flatten", torch::nn::Flatten()).add("fc", torch::nn::Linear(4, 2));
  export_onnx(model, folder / "plain.onnx");
  export_onnx(model, folder / "net.onnx",
              {.classes = {"a \"cat\"", "d\xc3\xb6g"}, .mean = {0.5}, .deviation = {0.25}});
  const auto facts_in = [&](const char* name) {
    onnx::ModelProto proto;
    EXPECT_TRUE(proto.ParseFromString(read_file(folder / name, "test")));
    std::vector<std::string> all;
    for (const auto& one : proto.metadata_props()) all.push_back(one.key() + "=" + one.value());
    return all;
  };
  EXPECT_THAT(facts_in("plain.onnx"), ElementsAre());
  EXPECT_THAT(facts_in("net.onnx"),
              ElementsAre("millrace.classes=[\"a \\\"cat\\\"\",\"d\xc3\xb6g\"]",
                          "millrace.mean=[0.5]", "millrace.deviation=[0.25]"));
  EXPECT_EQ(import_onnx(folder / "net.onnx").classes, 2);
}

TEST(ExportOnnx, RefusesNamesThatMeet) {
  Model model{.name = "own", .sample_shape = {4}, .classes = 4};
  model.add("fc", torch::nn::Linear(4, 4)).add("fc.weight", torch::nn::ReLU());
  EXPECT_THAT(message_of([&] { export_onnx(model, "never.onnx"); }), HasSubstr("'fc.weight'"));
}

TEST(ExportOnnx, RefusesWhatItHasNoOperatorFor) {
  Model model{.name = "own", .sample_shape = {4}, .classes = 4};
  model.add("fc", torch::nn::Linear(4, 4)).add("odd", torch::nn::Tanh());
  EXPECT_THAT(message_of([&] { export_onnx(model, "never.onnx"); }),
              AllOf(HasSubstr("'odd'"), HasSubstr(".safetensors")));
  Model pooled{.name = "own", .sample_shape = {1, 5, 5}, .classes = 4};
  pooled.add("pool", torch::nn::AdaptiveAvgPool2d(2)).add("flatten", torch::nn::Flatten());
  EXPECT_THAT(message_of([&] { export_onnx(pooled, "never.onnx"); }),
              HasSubstr("windows of several sizes"));
}

}  // namespace
}  // namespace millrace
