#include "models/zoo/parts.hpp"

namespace millrace::zoo_parts {
namespace {

constexpr int kPool = 0;

/// A convolution of so many channels each, or a pooling that halves both sides.
void add_vgg(Model& model, const std::vector<int>& features) {  // 3 x 224 x 224
  int number = 0, channels = 3;
  const auto name = [&](const char* part) { return part + std::to_string(number++); };
  for (const int out : features) {
    if (out == kPool) {
      model.add(name("features."), pool(2, 2));
      continue;
    }
    model.add(name("features."), conv(channels, out, 3, 1, 1));
    model.add(name("features."), nn::ReLU());
    channels = out;
  }
  number = 0;
  model.add("avgpool", nn::AdaptiveAvgPool2d(nn::AdaptiveAvgPool2dOptions({7, 7})))
      .add("flatten", nn::Flatten())
      .add(name("classifier."), nn::Linear(512 * 7 * 7, 4096))
      .add(name("classifier."), nn::ReLU())
      .add(name("classifier."), nn::Dropout(0.5))
      .add(name("classifier."), nn::Linear(4096, 4096))
      .add(name("classifier."), nn::ReLU())
      .add(name("classifier."), nn::Dropout(0.5))
      .add(name("classifier."), nn::Linear(4096, model.classes));
  draw_weights(model, "features.", draw_by_outputs);
  draw_weights(model, "classifier.", normal(0.01));
  zero_biases(model);
}

}  // namespace

void add_vgg11(Model& model) {
  add_vgg(model, {64, kPool, 128, kPool, 256, 256, kPool, 512, 512, kPool, 512, 512, kPool});
}

void add_vgg16(Model& model) {
  add_vgg(model, {64, 64, kPool, 128, 128, kPool, 256, 256, 256, kPool, 512, 512, 512, kPool, 512,
                  512, 512, kPool});
}

}  // namespace millrace::zoo_parts
