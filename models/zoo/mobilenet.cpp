#include "models/zoo/parts.hpp"

namespace millrace::zoo_parts {
namespace {

/// Each channel by itself.
nn::Conv2d depthwise(std::int64_t channels, std::int64_t stride) {
  return nn::Conv2d(nn::Conv2dOptions(channels, channels, 3)
                        .stride(stride)
                        .padding(1)
                        .groups(channels)
                        .bias(false));
}

/// The convolution as "name.0", its normalisation "name.1" and ReLU6 "name.2".
void add_normalised(Model& model, const std::string& name, nn::Conv2d convolution,
                    std::int64_t channels) {
  model.add(name + ".0", std::move(convolution))
      .add(name + ".1", nn::BatchNorm2d(channels))
      .add(name + ".2", nn::ReLU6());
}

/// Expands the channels, convolves each, and projects them down again, with a skip connection where
/// the shape stays.
void add_inverted_residual(Model& model, const std::string& name, std::int64_t in, std::int64_t out,
                           std::int64_t stride, std::int64_t expansion) {
  const std::string input = model.layers.back().name;
  const std::int64_t width = in * expansion;
  int part = 0;
  const auto next = [&] { return name + ".conv." + std::to_string(part++); };
  if (expansion > 1) add_normalised(model, next(), plain_conv(in, width, 1, 1, 0), width);
  add_normalised(model, next(), depthwise(width, stride), width);
  model.add(next(), plain_conv(width, out, 1, 1, 0));
  const std::string projected = next();
  model.add(projected, nn::BatchNorm2d(out));
  if (stride == 1 && in == out) model.add(name + ".sum", Add(), {projected, input});
}

struct Group {
  std::int64_t expansion, channels;
  int blocks;
  std::int64_t stride;
};

}  // namespace

/// torchvision.models.mobilenet_v2.
void add_mobilenet_v2(Model& model) {  // 3 x 224 x 224
  const std::vector<Group> groups = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                                     {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
  add_normalised(model, "features.0", plain_conv(3, 32, 3, 2, 1), 32);
  std::int64_t in = 32;
  int number = 1;
  for (const Group& group : groups)
    for (int block = 0; block < group.blocks; ++block, in = group.channels)
      add_inverted_residual(model, "features." + std::to_string(number++), in, group.channels,
                            block == 0 ? group.stride : 1, group.expansion);
  add_normalised(model, "features.18", plain_conv(in, 1280, 1, 1, 0), 1280);
  model.add("avgpool", mean_pool())
      .add("flatten", nn::Flatten())
      .add("classifier.0", nn::Dropout(0.2))
      .add("classifier.1", nn::Linear(1280, model.classes));
  draw_weights(model, "features.", draw_by_outputs);
  draw_weights(model, "classifier.", normal(0.01));
  zero_biases(model);
}

}  // namespace millrace::zoo_parts
