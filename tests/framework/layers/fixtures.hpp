#pragma once
// One layer with its facts, and plain LibTorch's answer for it.

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/nn/functional.h>
#include <torch/nn/modules.h>

#include <algorithm>
#include <vector>

#include "framework/layers/deferred_gradient.hpp"
#include "framework/layers/layer_op.hpp"
#include "framework/layers/module_facts.hpp"
#include "millrace/model.hpp"

namespace millrace::test {

struct Sample {
  Layer layer;
  LayerFacts facts;
};

template <typename Module>
Sample sample(const std::string& type, Module module, std::vector<std::int64_t> input_shape) {
  Sample made{{"layer", {}, torch::nn::AnyModule(module)}, {"layer", type, input_shape, {}}};
  std::vector<std::int64_t> batch = input_shape;
  batch.insert(batch.begin(), 1);
  made.layer.module.ptr()->eval();
  made.facts.output_shape = made.layer.module.forward(at::zeros(batch)).sizes().slice(1).vec();
  made.facts.inner_elements = inner_elements(*made.layer.module.ptr(), made.facts.output_shape);
  return made;
}

inline at::Tensor random_batch(const std::vector<std::int64_t>& sample_shape, std::int64_t n) {
  std::vector<std::int64_t> shape = sample_shape;
  shape.insert(shape.begin(), n);
  return at::randn(shape);
}

struct Answer {
  at::Tensor y, dx;
  std::vector<at::Tensor> gradients;
};

/// The layer in evaluation mode, through autograd.
inline Answer plain(Sample& s, const at::Tensor& x, const at::Tensor& dy) {
  const at::Tensor leaf = x.detach().clone().requires_grad_();
  const at::Tensor y = s.layer.module.forward(leaf.clone());
  std::vector<at::Tensor> wanted = s.layer.module.ptr()->parameters();
  wanted.push_back(leaf);
  std::vector<at::Tensor> gradients = torch::autograd::grad({y}, wanted, {dy});
  Answer answer{y.detach(), gradients.back(), {}};
  gradients.pop_back();
  answer.gradients = gradients;
  return answer;
}

/// Each layer reads the one before it.
inline std::vector<LayerFacts> chained(std::vector<LayerFacts> layers) {
  for (std::size_t l = 0; l < layers.size(); ++l) {
    layers[l].producers = {static_cast<int>(l) - 1};
    if (l + 1 < layers.size()) layers[l].readers = {static_cast<int>(l) + 1};
  }
  return layers;
}

/// Of an op with one input.
inline at::Tensor input_gradient(LayerOp& op, const at::Tensor& dy, Saved& saved,
                                 bool wanted = true) {
  return op.backward(dy, saved, {wanted}).front();
}

inline bool has_gradient(const ParameterSlot& slot) {
  return slot.deferred ? !slot.products.empty() : slot.gradient.defined();
}

/// As the backward passes made it, or left it to the update.
inline at::Tensor gradient_of(const ParameterSlot& slot) {
  if (!slot.deferred) return slot.gradient;
  EXPECT_FALSE(slot.gradient.defined());
  const at::Tensor gradient = at::full_like(slot.value, NAN);
  DeferredGradient({&slot}, {0, slot.value.size(1)})
      .for_each_run({}, [&](std::int64_t, std::int64_t first, const float* values, std::int64_t n) {
        std::copy_n(values, n, gradient.data_ptr<float>() + first);
      });
  return gradient;
}

inline void expect_close(const at::Tensor& actual, const at::Tensor& expected,
                         const std::string& what, double most = 1e-5) {
  ASSERT_TRUE(actual.defined()) << what;
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  const double scale = std::max(1e-30, expected.abs().max().item<double>());
  EXPECT_LE((actual - expected).abs().max().item<double>() / scale, most) << what;
}

}  // namespace millrace::test
