#include "models/zoo/zoo.hpp"

#include <map>

#include "millrace/errors.hpp"
#include "models/zoo/parts.hpp"

namespace millrace {

Model make_model(const std::string& name, std::int64_t classes, std::uint64_t seed) {
  using namespace zoo_parts;
  static const std::map<std::string, void (*)(Model&)> builders = {
      {"alexnet", add_alexnet},
      {"alexnet-32", add_alexnet_32},
      {"char-gpt", add_char_gpt},
      {"char-lstm", add_char_lstm},
      {"lenet5", add_lenet5},
      {"mlp", add_mlp},
      {"vgg11", add_vgg11},
      {"vgg16", add_vgg16},
      {"resnet18", add_resnet18},
      {"resnet50", add_resnet50},
      {"resnet20", add_resnet20},
      {"resnet56", add_resnet56},
      {"googlenet", add_googlenet},
      {"squeezenet1_1", add_squeezenet},
      {"densenet121", add_densenet121},
      {"mobilenet_v2", add_mobilenet_v2},
      {"inception_v3", add_inception_v3}};
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
    if (info.is_text) model.vocabulary = model.classes;
    builders.at(name)(model);
    return model;
  });
}

}  // namespace millrace
