#include "models/zoo_list.hpp"

#include "framework/base/closest.hpp"
#include "millrace/errors.hpp"

namespace millrace {
const std::vector<ModelInfo>& zoo() {
  static const std::vector<ModelInfo> models = {
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
      {"mlp", {1, 28, 28}, 10, 266'610, "784-300-100 perceptron, for digits such as MNIST"},
      {"lenet5", {1, 28, 28}, 10, 61'706, "LeNet-5 with ReLU and max pooling, for digits"}};
  return models;
}

const ModelInfo& model_info(const std::string& name) {
  for (const ModelInfo& info : zoo()) {
    if (info.name == name) return info;
  }
  std::vector<std::string> names;
  for (const ModelInfo& info : zoo()) names.push_back(info.name);
  throw ConfigError("model", "there is no model '" + name + "'" + suggestion(name, names));
}

}  // namespace millrace
