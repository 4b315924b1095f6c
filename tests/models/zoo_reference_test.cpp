// The networks are those of torchvision (of text: of PyTorch's modules): outputs, loss, gradients
// of every parameter and running statistics of one step in double precision (reference/make.py made
// the expected ones).

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/dropout.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "models/zoo/zoo.hpp"
#include "tests/models/named_numbers.hpp"
#include "tests/plain_graph.hpp"

namespace millrace {
namespace {

using testing::numbers;
using testing::weights;

Model in_double(const std::string& name) {
  Model model = make_model(name, 10);
  for (const Layer& layer : model.layers) {
    layer.module.ptr()->to(at::kDouble);
    layer.module.ptr()->train(!layer.module.ptr()->as<torch::nn::Dropout>());
  }
  for (auto& [parameter, value] : named_parameters(model))
    value.set_data(weights(parameter, value.sizes()));
  return model;
}

nlohmann::json reference(const std::string& name) {
  std::ifstream file(std::filesystem::path(MILLRACE_TEST_SOURCES) / "reference" / (name + ".json"));
  return nlohmann::json::parse(file);
}

constexpr double kTolerance = 1e-8;

void expect_near(double actual, double expected, double scale, const std::string& what) {
  EXPECT_NEAR(actual, expected, kTolerance * (std::fabs(expected) + scale)) << what;
}

struct Step {
  at::Tensor inputs, labels;
};

at::Tensor ids(const std::string& name, std::int64_t rows, std::int64_t columns) {
  return ((numbers(name, rows * columns) + 1) / 2 * 10).to(at::kLong).reshape({rows, columns});
}

Step step_of(const Model& model, const nlohmann::json& expected) {
  if (model.vocabulary > 0) return {ids("input", 2, 128), ids("label", 2, 128)};
  const std::int64_t side = expected.at("side");
  return {numbers("input", 2 * 3 * side * side).reshape({2, 3, side, side}) * 1.7,
          at::tensor({1, 3}, at::kLong)};
}

class Reference : public ::testing::TestWithParam<std::string> {};

TEST_P(Reference, OneStepIsThatOfPyTorch) {
  const nlohmann::json expected = reference(GetParam());
  const Model model = in_double(GetParam());
  const Step step = step_of(model, expected);
  const auto values = test::graph_values(model, step.inputs);
  const at::Tensor outputs = values.at(model.layers.back().name);
  const at::Tensor loss = test::training_loss(model, values, [&](const at::Tensor& y) {
    return at::cross_entropy_loss(y.flatten(0, -2), step.labels.flatten());
  });
  loss.backward();

  const at::Tensor last = model.vocabulary > 0 ? outputs.select(1, -1) : outputs;
  for (std::int64_t sample = 0; sample < 2; ++sample)
    for (std::int64_t c = 0; c < 10; ++c)
      expect_near(last[sample][c].item<double>(), expected["outputs"][sample][c], 1, "output");
  expect_near(loss.item<double>(), expected["loss"], 0, "loss");
  const auto parameters = named_parameters(model);
  ASSERT_EQ(parameters.size(), expected["gradients"].size());
  for (const auto& [name, value] : parameters) {
    ASSERT_TRUE(expected["gradients"].contains(name)) << name;
    const at::Tensor gradient = value.grad().flatten();
    const double norm = expected["gradients"][name][0];
    // What normalisation takes out again has a gradient of round-off alone.
    expect_near(gradient.norm().item<double>(), norm, 1e-6, name);
    expect_near(at::dot(gradient, numbers("along " + name, gradient.numel())).item<double>(),
                expected["gradients"][name][1], norm + 1e-6, name);
  }
  for (const Layer& layer : model.layers)
    for (const auto& item : layer.module.ptr()->named_buffers()) {
      if (item.key() == "num_batches_tracked") continue;
      const std::string name = layer.name + "." + item.key();
      expect_near(item.value().norm().item<double>(), expected["running"].at(name), 0, name);
    }
}

INSTANTIATE_TEST_SUITE_P(Zoo, Reference,
                         ::testing::Values("alexnet", "vgg11", "vgg16", "resnet18", "resnet50",
                                           "resnet20", "resnet56", "squeezenet1_1", "mobilenet_v2",
                                           "googlenet", "inception_v3", "densenet121", "char-gpt",
                                           "char-lstm"),
                         [](const auto& each) {
                           std::string name = each.param;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace millrace
