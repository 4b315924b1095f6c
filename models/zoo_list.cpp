#include "models/zoo_list.hpp"

#include <algorithm>
#include <numeric>

#include "millrace/errors.hpp"

namespace millrace {
namespace {

/// Levenshtein distance.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

std::string closest(const std::string& name) {
  return std::min_element(zoo().begin(), zoo().end(),
                          [&](const ModelInfo& a, const ModelInfo& b) {
                            return distance(name, a.name) < distance(name, b.name);
                          })
      ->name;
}

std::string all_names() {
  std::string names;
  for (const ModelInfo& info : zoo()) names += (names.empty() ? "" : ", ") + info.name;
  return names;
}

}  // namespace

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
  throw ConfigError("model", "there is no model '" + name + "'; the closest is '" + closest(name) +
                                 "', all are: " + all_names());
}

}  // namespace millrace
