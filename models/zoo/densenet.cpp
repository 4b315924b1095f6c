#include "models/zoo/parts.hpp"

namespace millrace::zoo_parts {
namespace {

constexpr std::int64_t kGrowth = 32, kBottleneck = 4 * kGrowth;

/// Normalises first, as all of the network does, and appends its channels to those it reads.
void add_dense_layer(Model& model, const std::string& name, std::int64_t in) {
  const std::string input = model.layers.back().name;
  model.add(name + ".norm1", nn::BatchNorm2d(in))
      .add(name + ".relu1", nn::ReLU())
      .add(name + ".conv1", plain_conv(in, kBottleneck, 1, 1, 0))
      .add(name + ".norm2", nn::BatchNorm2d(kBottleneck))
      .add(name + ".relu2", nn::ReLU())
      .add(name + ".conv2", plain_conv(kBottleneck, kGrowth, 3, 1, 1))
      .add(name + ".concat", Concat(), {input, name + ".conv2"});
}

/// Halves channels and sides.
void add_transition(Model& model, const std::string& name, std::int64_t in) {
  model.add(name + ".norm", nn::BatchNorm2d(in))
      .add(name + ".relu", nn::ReLU())
      .add(name + ".conv", plain_conv(in, in / 2, 1, 1, 0))
      .add(name + ".pool", nn::AvgPool2d(nn::AvgPool2dOptions(2).stride(2)));
}

}  // namespace

/// torchvision.models.densenet121.
void add_densenet121(Model& model) {  // 3 x 224 x 224
  model
      .add("features.conv0", plain_conv(3, 64, 7, 2, 3))  // 64 x 112 x 112
      .add("features.norm0", nn::BatchNorm2d(64))
      .add("features.relu0", nn::ReLU())
      .add("features.pool0", pool(3, 2, 1));  // 64 x 56 x 56
  const std::vector<int> blocks = {6, 12, 24, 16};
  std::int64_t channels = 64;
  for (std::size_t block = 0; block < blocks.size(); ++block) {
    const std::string number = std::to_string(block + 1);
    for (int layer = 1; layer <= blocks[block]; ++layer, channels += kGrowth)
      add_dense_layer(model, "features.denseblock" + number + ".denselayer" + std::to_string(layer),
                      channels);
    if (block + 1 == blocks.size()) break;
    add_transition(model, "features.transition" + number, channels);
    channels /= 2;
  }
  model
      .add("features.norm5", nn::BatchNorm2d(channels))  // 1024 x 7 x 7
      .add("relu5", nn::ReLU())
      .add("avgpool", mean_pool())
      .add("flatten", nn::Flatten())
      .add("classifier", nn::Linear(channels, model.classes));
  draw_weights(model, "features.", draw_by_inputs);
  zero_biases(model);
}

}  // namespace millrace::zoo_parts
