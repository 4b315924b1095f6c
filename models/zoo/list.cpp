#include "models/zoo/list.hpp"

#include <filesystem>

#include "framework/base/closest.hpp"
#include "millrace/errors.hpp"

namespace millrace {
const std::vector<ModelInfo>& zoo() {
  static const std::vector<ModelInfo> models = {
      {"vgg16", {3, 224, 224}, 1000, 138'357'544, "VGG with 16 layers that learn, for photos"},
      {"vgg11", {3, 224, 224}, 1000, 132'863'336, "VGG with 11 layers that learn, for photos"},
      {"alexnet",
       {3, 224, 224},
       1000,
       61'100'840,
       "AlexNet with torchvision's shapes and names, for photos"},
      {"alexnet-32",
       {3, 32, 32},
       10,
       35'855'178,
       "AlexNet's layers sized for 32 px images such as CIFAR-10"},
      {"inception_v3",
       {3, 299, 299},
       1000,
       27'161'264,
       "Inception v3 and its auxiliary head",
       false,
       true},
      {"resnet50", {3, 224, 224}, 1000, 25'557'032, "ResNet of bottleneck blocks, for photos"},
      {"googlenet",
       {3, 224, 224},
       1000,
       13'004'888,
       "GoogLeNet and its two auxiliary heads",
       false,
       true},
      {"resnet18", {3, 224, 224}, 1000, 11'689'512, "ResNet of basic blocks, for photos"},
      {"densenet121", {3, 224, 224}, 1000, 7'978'856, "DenseNet with growth rate 32, for photos"},
      {"mobilenet_v2", {3, 224, 224}, 1000, 3'504'872, "MobileNet v2, for photos"},
      {"char-gpt", {128}, 96, 2'731'008, "GPT-2 with 6 blocks, for text by characters", true},
      {"squeezenet1_1", {3, 224, 224}, 1000, 1'235'496, "SqueezeNet 1.1, for photos"},
      {"char-lstm", {128}, 96, 958'560, "two LSTM layers, for text by characters", true},
      {"resnet56", {3, 32, 32}, 10, 855'770, "ResNet for 32 px images such as CIFAR-10"},
      {"resnet20", {3, 32, 32}, 10, 272'474, "ResNet for 32 px images such as CIFAR-10"},
      {"mlp", {1, 28, 28}, 10, 266'610, "784-300-100 perceptron, for digits such as MNIST"},
      {"lenet5", {1, 28, 28}, 10, 61'706, "LeNet-5 with ReLU and max pooling, for digits"}};
  return models;
}

bool is_model_file(const std::string& source) { return source.ends_with(".onnx"); }

bool reads_text(const std::string& source) {
  return !is_model_file(source) && model_info(source).is_text;
}

const char* rate_unit(const std::string& source) {
  return is_model_file(source) || reads_text(source) ? "samples/s" : "img/s";
}

std::string model_title(const std::string& source) {
  return is_model_file(source) ? std::filesystem::path(source).stem().string() : source;
}

const ModelInfo& model_info(const std::string& name) {
  for (const ModelInfo& info : zoo()) {
    if (info.name == name) return info;
  }
  std::vector<std::string> names;
  for (const ModelInfo& info : zoo()) names.push_back(info.name);
  throw ConfigError("model", "there is no model '" + name + "'" + suggestion(name, names) +
                                 " (a file is named with its ending, .onnx)");
}

}  // namespace millrace
