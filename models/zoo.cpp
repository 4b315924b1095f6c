#include "models/zoo.hpp"

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>

#include <functional>
#include <map>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

namespace nn = torch::nn;

nn::Conv2d conv(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                std::int64_t padding) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel).stride(stride).padding(padding));
}

nn::MaxPool2d pool(std::int64_t kernel, std::int64_t stride) {
  return nn::MaxPool2d(nn::MaxPool2dOptions(kernel).stride(stride));
}

/// torchvision.models.alexnet, shapes of one sample on the right.
void add_alexnet(Model& model) {  // 3 x 224 x 224
  model
      .add("features.0", conv(3, 64, 11, 4, 2))     // 64 x 55 x 55
      .add("features.1", nn::ReLU())                //
      .add("features.2", pool(3, 2))                // 64 x 27 x 27
      .add("features.3", conv(64, 192, 5, 1, 2))    // 192 x 27 x 27
      .add("features.4", nn::ReLU())                //
      .add("features.5", pool(3, 2))                // 192 x 13 x 13
      .add("features.6", conv(192, 384, 3, 1, 1))   // 384 x 13 x 13
      .add("features.7", nn::ReLU())                //
      .add("features.8", conv(384, 256, 3, 1, 1))   // 256 x 13 x 13
      .add("features.9", nn::ReLU())                //
      .add("features.10", conv(256, 256, 3, 1, 1))  // 256 x 13 x 13
      .add("features.11", nn::ReLU())               //
      .add("features.12", pool(3, 2))               // 256 x 6 x 6
      .add("avgpool", nn::AdaptiveAvgPool2d(nn::AdaptiveAvgPool2dOptions({6, 6})))
      .add("flatten", nn::Flatten())                          // 9216
      .add("classifier.0", nn::Dropout(0.5))                  //
      .add("classifier.1", nn::Linear(9216, 4096))            // 4096
      .add("classifier.2", nn::ReLU())                        //
      .add("classifier.3", nn::Dropout(0.5))                  //
      .add("classifier.4", nn::Linear(4096, 4096))            // 4096
      .add("classifier.5", nn::ReLU())                        //
      .add("classifier.6", nn::Linear(4096, model.classes));  // classes
}

/// The same layers under the same names; kernels, strides and pools fit 32 px.
void add_alexnet_32(Model& model) {  // 3 x 32 x 32
  model
      .add("features.0", conv(3, 64, 3, 1, 1))      // 64 x 32 x 32
      .add("features.1", nn::ReLU())                //
      .add("features.2", pool(2, 2))                // 64 x 16 x 16
      .add("features.3", conv(64, 192, 3, 1, 1))    // 192 x 16 x 16
      .add("features.4", nn::ReLU())                //
      .add("features.5", pool(2, 2))                // 192 x 8 x 8
      .add("features.6", conv(192, 384, 3, 1, 1))   // 384 x 8 x 8
      .add("features.7", nn::ReLU())                //
      .add("features.8", conv(384, 256, 3, 1, 1))   // 256 x 8 x 8
      .add("features.9", nn::ReLU())                //
      .add("features.10", conv(256, 256, 3, 1, 1))  // 256 x 8 x 8
      .add("features.11", nn::ReLU())               //
      .add("features.12", pool(2, 2))               // 256 x 4 x 4
      .add("avgpool", nn::AdaptiveAvgPool2d(nn::AdaptiveAvgPool2dOptions({4, 4})))
      .add("flatten", nn::Flatten())                          // 4096
      .add("classifier.0", nn::Dropout(0.5))                  //
      .add("classifier.1", nn::Linear(4096, 4096))            // 4096
      .add("classifier.2", nn::ReLU())                        //
      .add("classifier.3", nn::Dropout(0.5))                  //
      .add("classifier.4", nn::Linear(4096, 4096))            // 4096
      .add("classifier.5", nn::ReLU())                        //
      .add("classifier.6", nn::Linear(4096, model.classes));  // classes
}

/// LeNet-5 (LeCun 1998) on 28 px: ReLU for its tanh, max pooling for its trained averages.
void add_lenet5(Model& model) {  // 1 x 28 x 28
  model
      .add("conv1", conv(1, 6, 5, 1, 2))           // 6 x 28 x 28
      .add("relu1", nn::ReLU())                    //
      .add("pool1", pool(2, 2))                    // 6 x 14 x 14
      .add("conv2", conv(6, 16, 5, 1, 0))          // 16 x 10 x 10
      .add("relu2", nn::ReLU())                    //
      .add("pool2", pool(2, 2))                    // 16 x 5 x 5
      .add("flatten", nn::Flatten())               // 400
      .add("fc1", nn::Linear(400, 120))            // 120
      .add("relu3", nn::ReLU())                    //
      .add("fc2", nn::Linear(120, 84))             // 84
      .add("relu4", nn::ReLU())                    //
      .add("fc3", nn::Linear(84, model.classes));  // classes
}

/// The 300-100 perceptron of LeCun 1998, with ReLU.
void add_mlp(Model& model) {  // 1 x 28 x 28
  model
      .add("flatten", nn::Flatten())                // 784
      .add("fc1", nn::Linear(784, 300))             // 300
      .add("relu1", nn::ReLU())                     //
      .add("fc2", nn::Linear(300, 100))             // 100
      .add("relu2", nn::ReLU())                     //
      .add("fc3", nn::Linear(100, model.classes));  // classes
}

}  // namespace

Model make_model(const std::string& name, std::int64_t classes, std::uint64_t seed) {
  static const std::map<std::string, std::function<void(Model&)>> builders = {
      {"alexnet", add_alexnet},
      {"alexnet-32", add_alexnet_32},
      {"lenet5", add_lenet5},
      {"mlp", add_mlp}};
  const ModelInfo& info = model_info(name);
  if (classes != 0 && classes < 2) {
    throw ConfigError("model", "'" + name + "' is asked for " + std::to_string(classes) +
                                   " classes: a classifier needs at least 2");
  }
  return make_seeded(seed, [&] {
    Model model;
    model.name = name;
    model.sample_shape = info.sample_shape;
    model.classes = classes == 0 ? info.default_classes : classes;
    builders.at(name)(model);
    return model;
  });
}

}  // namespace millrace
