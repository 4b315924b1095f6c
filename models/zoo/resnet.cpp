#include "models/zoo/parts.hpp"

namespace millrace::zoo_parts {
namespace {

/// One residual block under `name`, which reads the layer before it.
class Block {
 public:
  Block(Model& model, std::string name, std::int64_t in, std::int64_t out, std::int64_t stride)
      : model_(model),
        name_(std::move(name)),
        input_(model.layers.back().name),
        in_(in),
        out_(out),
        stride_(stride) {}

  /// Two convolutions 3 x 3.
  void add_basic() {
    add_conv(1, in_, out_, 3, stride_).add(name_ + ".relu1", nn::ReLU());
    add_conv(2, out_, out_, 3, 1);
    add_sum(2);
  }

  /// Three convolutions, the middle one 3 x 3 on a quarter of the channels.
  void add_bottleneck() {
    const std::int64_t width = out_ / 4;
    add_conv(1, in_, width, 1, 1).add(name_ + ".relu1", nn::ReLU());
    add_conv(2, width, width, 3, stride_).add(name_ + ".relu2", nn::ReLU());
    add_conv(3, width, out_, 1, 1);
    add_sum(3);
  }

 private:
  Model& add_conv(int number, std::int64_t in, std::int64_t out, std::int64_t kernel,
                  std::int64_t stride) {
    const std::string suffix = std::to_string(number);
    return model_.add(name_ + ".conv" + suffix, plain_conv(in, out, kernel, stride, kernel / 2))
        .add(name_ + ".bn" + suffix, nn::BatchNorm2d(out));
  }

  void add_sum(int last) {
    std::string shortcut = input_;
    if (stride_ != 1 || in_ != out_) {
      model_.add(name_ + ".downsample.0", plain_conv(in_, out_, 1, stride_, 0), {input_});
      shortcut = name_ + ".downsample.1";
      model_.add(shortcut, nn::BatchNorm2d(out_));
    }
    model_.add(name_ + ".sum", Add(), {name_ + ".bn" + std::to_string(last), shortcut});
    model_.add(name_ + ".relu", nn::ReLU());
  }

  Model& model_;
  std::string name_, input_;
  std::int64_t in_, out_, stride_;
};

/// Layers "layer1" … of so many blocks each; each layer after the first halves the sides and
/// doubles the channels.
void add_blocks(Model& model, const std::vector<int>& blocks, std::int64_t in, std::int64_t out,
                void (Block::*add)()) {
  for (std::size_t layer = 0; layer < blocks.size(); ++layer, out *= 2) {
    for (int block = 0; block < blocks[layer]; ++block, in = out) {
      const std::string name = "layer" + std::to_string(layer + 1) + "." + std::to_string(block);
      (Block(model, name, in, out, layer > 0 && block == 0 ? 2 : 1).*add)();
    }
  }
}

void add_head(Model& model, std::int64_t channels) {
  model.add("avgpool", mean_pool())
      .add("flatten", nn::Flatten())
      .add("fc", nn::Linear(channels, model.classes));
}

void add_photo_stem(Model& model) {  // 3 x 224 x 224
  model
      .add("conv1", plain_conv(3, 64, 7, 2, 3))  // 64 x 112 x 112
      .add("bn1", nn::BatchNorm2d(64))
      .add("relu", nn::ReLU())
      .add("maxpool", pool(3, 2, 1));  // 64 x 56 x 56
}

/// As torchvision, which leaves "fc" as it is.
void draw_convolutions(const Model& model) {
  draw_weights(model, "conv", draw_by_outputs);
  draw_weights(model, "layer", draw_by_outputs);
}

/// He et al. 2016, section 4.2, with projections where the shape changes.
void add_small(Model& model, int blocks) {  // 3 x 32 x 32
  model
      .add("conv1", plain_conv(3, 16, 3, 1, 1))  // 16 x 32 x 32
      .add("bn1", nn::BatchNorm2d(16))
      .add("relu", nn::ReLU());
  add_blocks(model, {blocks, blocks, blocks}, 16, 16, &Block::add_basic);
  add_head(model, 64);
}

}  // namespace

void add_resnet18(Model& model) {
  add_photo_stem(model);
  add_blocks(model, {2, 2, 2, 2}, 64, 64, &Block::add_basic);
  add_head(model, 512);
  draw_convolutions(model);
}

void add_resnet50(Model& model) {
  add_photo_stem(model);
  add_blocks(model, {3, 4, 6, 3}, 64, 256, &Block::add_bottleneck);
  add_head(model, 2048);
  draw_convolutions(model);
}

void add_resnet20(Model& model) { add_small(model, 3); }

void add_resnet56(Model& model) { add_small(model, 9); }

}  // namespace millrace::zoo_parts
