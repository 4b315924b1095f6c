#include "models/zoo/parts.hpp"

namespace millrace::zoo_parts {
namespace {

/// Channels out of the branches: 1 x 1; 1 x 1 before 3 x 3; the same; 1 x 1 behind a pooling.
struct Branches {
  std::int64_t ones, reduced3, threes, reduced5, fives, pooled;
};

/// Of an auxiliary head's loss, as in the paper.
constexpr double kHeadWeight = 0.3;

/// Four branches side by side, which read `input`; "": the layer before. (The one that the paper
/// has 5 x 5 is 3 x 3, as in torchvision.)
void add_inception(Model& model, const std::string& name, std::int64_t in, const Branches& b,
                   std::string input = "") {
  if (input.empty()) input = model.layers.back().name;
  const auto branch = [&](const std::string& part) { return name + ".branch" + part; };
  add_basic_conv(model, branch("1"), plain_conv(in, b.ones, 1, 1, 0), {input});
  add_basic_conv(model, branch("2.0"), plain_conv(in, b.reduced3, 1, 1, 0), {input});
  add_basic_conv(model, branch("2.1"), plain_conv(b.reduced3, b.threes, 3, 1, 1));
  add_basic_conv(model, branch("3.0"), plain_conv(in, b.reduced5, 1, 1, 0), {input});
  add_basic_conv(model, branch("3.1"), plain_conv(b.reduced5, b.fives, 3, 1, 1));
  model.add(branch("4.0"), ceil_pool(3, 1, 1), {input});
  add_basic_conv(model, branch("4.1"), plain_conv(in, b.pooled, 1, 1, 0));
  model.add(name + ".concat", Concat(),
            {branch("1.relu"), branch("2.1.relu"), branch("3.1.relu"), branch("4.1.relu")});
}

/// A classifier of the layer before.
void add_auxiliary_head(Model& model, const std::string& name, std::int64_t in) {
  model.add(name + ".pool", nn::AdaptiveAvgPool2d(4));
  add_basic_conv(model, name + ".conv", plain_conv(in, 128, 1, 1, 0));
  model.add(name + ".flatten", nn::Flatten())
      .add(name + ".fc1", nn::Linear(128 * 4 * 4, 1024))
      .add(name + ".relu", nn::ReLU())
      .add(name + ".dropout", nn::Dropout(0.7))
      .add(name + ".fc2", nn::Linear(1024, model.classes));
  model.auxiliary.push_back({name + ".fc2", kHeadWeight});
}

}  // namespace

void add_basic_conv(Model& model, const std::string& name, nn::Conv2d convolution,
                    std::vector<std::string> inputs) {
  const std::int64_t channels = convolution->options.out_channels();
  model.add(name + ".conv", std::move(convolution), std::move(inputs))
      .add(name + ".bn", nn::BatchNorm2d(nn::BatchNormOptions(channels).eps(1e-3)))
      .add(name + ".relu", nn::ReLU());
}

/// torchvision.models.googlenet; the auxiliary heads stand where they read.
void add_googlenet(Model& model) {                                        // 3 x 224 x 224
  add_basic_conv(model, "conv1", plain_conv(3, 64, 7, 2, 3));             // 64 x 112 x 112
  model.add("maxpool1", ceil_pool(3, 2));                                 // 64 x 56 x 56
  add_basic_conv(model, "conv2", plain_conv(64, 64, 1, 1, 0));            //
  add_basic_conv(model, "conv3", plain_conv(64, 192, 3, 1, 1));           // 192 x 56 x 56
  model.add("maxpool2", ceil_pool(3, 2));                                 // 192 x 28 x 28
  add_inception(model, "inception3a", 192, {64, 96, 128, 16, 32, 32});    // 256
  add_inception(model, "inception3b", 256, {128, 128, 192, 32, 96, 64});  // 480
  model.add("maxpool3", ceil_pool(3, 2));                                 // 480 x 14 x 14
  add_inception(model, "inception4a", 480, {192, 96, 208, 16, 48, 64});   // 512
  add_auxiliary_head(model, "aux1", 512);
  add_inception(model, "inception4b", 512, {160, 112, 224, 24, 64, 64}, "inception4a.concat");
  add_inception(model, "inception4c", 512, {128, 128, 256, 24, 64, 64});  //
  add_inception(model, "inception4d", 512, {112, 144, 288, 32, 64, 64});  // 528
  add_auxiliary_head(model, "aux2", 528);
  add_inception(model, "inception4e", 528, {256, 160, 320, 32, 128, 128}, "inception4d.concat");
  model.add("maxpool4", ceil_pool(2, 2));                                   // 832 x 7 x 7
  add_inception(model, "inception5a", 832, {256, 160, 320, 32, 128, 128});  //
  add_inception(model, "inception5b", 832, {384, 192, 384, 48, 128, 128});  // 1024 x 7 x 7
  model.add("avgpool", mean_pool())
      .add("flatten", nn::Flatten())
      .add("dropout", nn::Dropout(0.2))
      .add("fc", nn::Linear(1024, model.classes));
  draw_weights(model, "", normal(0.01));  // torchvision cuts off what is beyond 200 deviations
}

}  // namespace millrace::zoo_parts
