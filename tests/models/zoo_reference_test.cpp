// The networks are those of torchvision: outputs, loss, gradients of every parameter and running
// statistics of one step in double precision (reference/make.py made the expected ones).

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/dropout.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "models/zoo/zoo.hpp"
#include "tests/plain_graph.hpp"

namespace millrace {
namespace {

/// SplitMix64 from FNV-1a of the name, as doubles in [-1, 1).
at::Tensor numbers(const std::string& name, std::int64_t count) {
  std::uint64_t state = 0xCBF29CE484222325;
  for (const char byte : name) state = (state ^ static_cast<unsigned char>(byte)) * 0x100000001B3;
  const at::Tensor values = at::empty({count}, at::kDouble);
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint64_t z = state += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    values.data_ptr<double>()[i] = static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-52 - 1;
  }
  return values;
}

at::Tensor weights(const std::string& name, const at::Tensor& like) {
  const at::Tensor values = numbers(name, like.numel());
  if (like.dim() == 1) return values * 0.1 + (name.ends_with(".weight") ? 1 : 0);
  const double fan_in = static_cast<double>(like.numel() / like.size(0));
  return (values * std::sqrt(6 / fan_in)).reshape(like.sizes());
}

Model in_double(const std::string& name) {
  Model model = make_model(name, 10);
  for (const Layer& layer : model.layers) {
    layer.module.ptr()->to(at::kDouble);
    layer.module.ptr()->train(!layer.module.ptr()->as<torch::nn::Dropout>());
  }
  for (auto& [parameter, value] : named_parameters(model))
    value.set_data(weights(parameter, value));
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

class Reference : public ::testing::TestWithParam<std::string> {};

TEST_P(Reference, OneStepIsThatOfPyTorch) {
  const nlohmann::json expected = reference(GetParam());
  const Model model = in_double(GetParam());
  const std::int64_t side = expected.at("side");
  const at::Tensor inputs = numbers("input", 2 * 3 * side * side).reshape({2, 3, side, side}) * 1.7;
  const at::Tensor outputs = test::run_graph(model, inputs);
  const at::Tensor loss = at::cross_entropy_loss(outputs, at::tensor({1, 3}, at::kLong));
  loss.backward();

  for (std::int64_t sample = 0; sample < 2; ++sample)
    for (std::int64_t c = 0; c < 10; ++c)
      expect_near(outputs[sample][c].item<double>(), expected["outputs"][sample][c], 1, "output");
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
                                           "googlenet", "inception_v3", "densenet121"),
                         [](const auto& each) { return each.param; });

}  // namespace
}  // namespace millrace
