#include "bench/plain_models.hpp"

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <stdexcept>

namespace millrace::bench {
namespace {

namespace nn = torch::nn;

nn::Conv2d conv(int in, int out, int kernel, int stride, int padding) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel).stride(stride).padding(padding));
}

nn::ReLU relu() { return nn::ReLU(nn::ReLUOptions().inplace(true)); }

nn::MaxPool2d pool(int kernel) { return nn::MaxPool2d(nn::MaxPool2dOptions(kernel).stride(2)); }

/// AlexNet but for its first layers' kernels: 11 and 5 for photos, 3 and 3 for 32 px.
nn::Sequential alexnet(nn::Conv2d conv1, nn::Conv2d conv2, int pool_size, int side, int classes) {
  return nn::Sequential(
      conv1, relu(), pool(pool_size), conv2, relu(), pool(pool_size), conv(192, 384, 3, 1, 1),
      relu(), conv(384, 256, 3, 1, 1), relu(), conv(256, 256, 3, 1, 1), relu(), pool(pool_size),
      nn::AdaptiveAvgPool2d(nn::AdaptiveAvgPool2dOptions({side, side})), nn::Flatten(),
      nn::Dropout(0.5), nn::Linear(256 * side * side, 4096), relu(), nn::Dropout(0.5),
      nn::Linear(4096, 4096), relu(), nn::Linear(4096, classes));
}

nn::Sequential lenet5(int classes) {
  return nn::Sequential(conv(1, 6, 5, 1, 2), relu(), pool(2), conv(6, 16, 5, 1, 0), relu(), pool(2),
                        nn::Flatten(), nn::Linear(400, 120), relu(), nn::Linear(120, 84), relu(),
                        nn::Linear(84, classes));
}

nn::Sequential mlp(int classes) {
  return nn::Sequential(nn::Flatten(), nn::Linear(784, 300), relu(), nn::Linear(300, 100), relu(),
                        nn::Linear(100, classes));
}

}  // namespace

PlainModel plain_model(const std::string& name, std::int64_t classes) {
  const int outputs = static_cast<int>(classes);
  if (name == "alexnet") {
    return {alexnet(conv(3, 64, 11, 4, 2), conv(64, 192, 5, 1, 2), 3, 6, outputs), {3, 224, 224}};
  }
  if (name == "alexnet-32") {
    return {alexnet(conv(3, 64, 3, 1, 1), conv(64, 192, 3, 1, 1), 2, 4, outputs), {3, 32, 32}};
  }
  if (name == "lenet5") return {lenet5(outputs), {1, 28, 28}};
  if (name == "mlp") return {mlp(outputs), {1, 28, 28}};
  throw std::invalid_argument("no plain LibTorch twin of model '" + name + "'");
}

}  // namespace millrace::bench
