#pragma once
// What the networks of the zoo are built of, and who builds them.

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <cstdint>
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

/// Networks of images as torchvision.models has them, auxiliary heads included: parameters of the
/// same names and shapes, in its order (of GoogLeNet's heads: where they read); of text as text.cpp
/// says. Each is given a Model with sample shape and classes, and appends the layers.
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
