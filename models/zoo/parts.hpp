#pragma once
// What the networks of the zoo are built of, and who builds them.

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "millrace/joins.hpp"
#include "millrace/model.hpp"

namespace millrace::zoo_parts {

namespace nn = torch::nn;

inline nn::Conv2d conv(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                       std::int64_t padding) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel).stride(stride).padding(padding));
}

/// As batch normalisation follows it, without a bias.
inline nn::Conv2d plain_conv(std::int64_t in, std::int64_t out, std::int64_t kernel,
                             std::int64_t stride, std::int64_t padding) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel).stride(stride).padding(padding).bias(false));
}

inline nn::MaxPool2d pool(std::int64_t kernel, std::int64_t stride) {
  return nn::MaxPool2d(nn::MaxPool2dOptions(kernel).stride(stride));
}

inline nn::MaxPool2d pool(std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  return nn::MaxPool2d(nn::MaxPool2dOptions(kernel).stride(stride).padding(padding));
}

/// The windows at the edge may reach beyond it.
inline nn::MaxPool2d ceil_pool(std::int64_t kernel, std::int64_t stride, std::int64_t padding = 0) {
  return nn::MaxPool2d(
      nn::MaxPool2dOptions(kernel).stride(stride).padding(padding).ceil_mode(true));
}

/// The mean of each channel.
inline nn::AdaptiveAvgPool2d mean_pool() { return nn::AdaptiveAvgPool2d(1); }

/// torchvision's BasicConv2d: "name.conv", "name.bn" and "name.relu". `inputs` as Model::add's.
void add_basic_conv(Model& model, const std::string& name, nn::Conv2d convolution,
                    std::vector<std::string> inputs = {});

/// Draws a weight anew, in place, from LibTorch's default generator.
using Draw = std::function<void(const torch::Tensor& weight)>;

/// As He et al. 2015 for ReLU: by how many numbers read an input, or by how many an output reads.
void draw_by_outputs(const torch::Tensor& weight);
void draw_by_inputs(const torch::Tensor& weight);
void draw_evenly_by_inputs(const torch::Tensor& weight);  ///< uniform, not normal
/// Normal numbers around 0.
Draw normal(double deviation);

/// Of the convolutions and linear layers whose names begin with `prefix`, in layer order: for
/// networks whose authors begin otherwise than LibTorch's constructors. Without batch normalisation
/// a deep one hardly learns from theirs.
void draw_weights(const Model& model, const std::string& prefix, const Draw& draw);
/// Of all convolutions and linear layers.
void zero_biases(const Model& model);

/// Networks of images as torchvision.models has them, auxiliary heads included: parameters of the
/// same names and shapes, in its order (of GoogLeNet's heads: where they read), drawn alike; of
/// text as text.cpp says. Each is given a Model with sample shape and classes, and appends the
/// layers.
void add_alexnet(Model& model);
void add_alexnet_32(Model& model);
void add_lenet5(Model& model);
void add_mlp(Model& model);
void add_vgg11(Model& model);
void add_vgg16(Model& model);
void add_resnet18(Model& model);
void add_resnet50(Model& model);
void add_resnet20(Model& model);
void add_resnet56(Model& model);
void add_squeezenet(Model& model);
void add_mobilenet_v2(Model& model);
void add_googlenet(Model& model);
void add_inception_v3(Model& model);
void add_densenet121(Model& model);
void add_char_gpt(Model& model);
void add_char_lstm(Model& model);

}  // namespace millrace::zoo_parts
