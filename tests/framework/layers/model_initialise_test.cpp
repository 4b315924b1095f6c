// initialise of millrace/model.hpp.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include "millrace/model.hpp"

namespace millrace {
namespace {

namespace nn = torch::nn;

/// A user's block: one part LibTorch knows how to initialise, one parameter of its own.
struct BlockImpl : nn::Module {
  BlockImpl() {
    linear = register_module("linear", nn::Linear(3, 3));
    scale = register_parameter("scale", at::ones({3}));
  }
  torch::Tensor forward(torch::Tensor x) { return linear(x) * scale; }

  nn::Linear linear{nullptr};
  torch::Tensor scale;
};
TORCH_MODULE(Block);

struct NestedImpl : nn::Module {
  NestedImpl() : parts(nn::Conv2d(1, 2, 3), nn::GroupNorm(1, 2)) {
    register_module("parts", parts);
  }
  torch::Tensor forward(torch::Tensor x) { return parts->forward(x); }

  nn::Sequential parts;
};
TORCH_MODULE(Nested);

void seed_default_generator(std::uint64_t seed) {
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  generator.set_current_seed(seed);
}

Model make() {
  Model model;
  model.name = "mine";
  model.add("conv", nn::Conv2d(1, 1, 3)).add("nested", Nested()).add("block", Block());
  return model;
}

std::vector<at::Tensor> values(const Model& model) {
  std::vector<at::Tensor> result;
  for (const auto& [name, value] : named_parameters(model))
    result.push_back(value.detach().clone());
  return result;
}

std::vector<at::Tensor> values_after(std::uint64_t seed) {
  const Model model = make();
  initialise(model, seed);
  return values(model);
}

TEST(Initialise, FollowsFromTheSeedAlone) {
  const auto a = values_after(5);
  at::rand({100});  // moves the default generator
  const auto b = values_after(5), c = values_after(6);
  ASSERT_EQ(a.size(), 9u);
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(at::equal(a[i], b[i])) << i;
  EXPECT_FALSE(at::equal(a[0], c[0]));
  EXPECT_FALSE(at::equal(a[2], c[2])) << "modules of modules, too";
}

TEST(Initialise, EqualsTheModulesOwn) {
  Model model;
  model.add("fc", nn::Linear(7, 5));
  initialise(model, 11);
  seed_default_generator(11);
  const nn::Linear expected(7, 5);
  EXPECT_TRUE(at::equal(named_parameters(model)[0].second, expected->weight));
  EXPECT_TRUE(at::equal(named_parameters(model)[1].second, expected->bias));
}

TEST(Initialise, LeavesTheDefaultGeneratorAsItWas) {
  const Model model = make();
  seed_default_generator(3);
  const at::Tensor expected = at::rand({10});
  seed_default_generator(3);
  initialise(model, 99);
  EXPECT_TRUE(at::equal(at::rand({10}), expected));
}

TEST(Initialise, WritesInPlace) {
  const Model model = make();
  const auto before = named_parameters(model);
  const std::vector<at::Tensor> old = values(model);
  initialise(model, 1);
  const auto after = named_parameters(model);
  EXPECT_EQ(before[0].second.data_ptr(), after[0].second.data_ptr());
  EXPECT_FALSE(at::equal(old[0], after[0].second));
}

TEST(Initialise, KeepsParametersOfAUsersOwnKind) {
  const Model model = make();
  const auto block = std::dynamic_pointer_cast<BlockImpl>(model.layers.back().module.ptr());
  {
    const at::NoGradGuard no_gradients;
    block->scale.fill_(7);
    block->linear->weight.fill_(7);
  }
  initialise(model, 1);
  EXPECT_TRUE(at::equal(block->scale, at::ones({3}) * 7));
  EXPECT_FALSE(at::equal(block->linear->weight, at::ones({3, 3}) * 7));
}

}  // namespace
}  // namespace millrace
