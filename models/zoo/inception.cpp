#include "models/zoo/parts.hpp"

namespace millrace::zoo_parts {
namespace {

/// A convolution of `height` x `width`, strides alike.
struct Kernel {
  std::int64_t height = 1, width = 1, stride = 1, pad_y = 0, pad_x = 0;
};

constexpr Kernel kOne{};
constexpr Kernel kThree{3, 3, 1, 1, 1};
constexpr Kernel kFive{5, 5, 1, 2, 2};
constexpr Kernel kThreeHalving{3, 3, 2, 0, 0};
constexpr Kernel kRow3{1, 3, 1, 0, 1};
constexpr Kernel kColumn3{3, 1, 1, 1, 0};
constexpr Kernel kRow7{1, 7, 1, 0, 3};
constexpr Kernel kColumn7{7, 1, 1, 3, 0};

/// Branches of one block, all of which read `input`, and their concatenation.
class Mixed {
 public:
  Mixed(Model& model, std::string name, std::int64_t channels, std::string input)
      : model_(model), name_(std::move(name)), input_(std::move(input)), channels_(channels) {}
  /// They read the layer before.
  Mixed(Model& model, std::string name, std::int64_t channels)
      : Mixed(model, std::move(name), channels, model.layers.back().name) {}

  /// Begins another branch.
  Mixed& branch() {
    end_ = input_;
    width_ = channels_;
    return *this;
  }
  Mixed& conv(const std::string& part, std::int64_t out, const Kernel& kernel) {
    end_ = add_conv(part, out, kernel, end_);
    width_ = out;
    return *this;
  }
  /// Two convolutions side by side, whose outputs both are the branch's.
  Mixed& fork(const std::string& a, const std::string& b, std::int64_t out) {
    const std::string before = end_;
    ends_.push_back(add_conv(a, out, kRow3, before));
    ends_.push_back(add_conv(b, out, kColumn3, before));
    return *this;
  }
  template <typename Pool>
  Mixed& pool(Pool pool) {
    model_.add(name_ + ".pool", std::move(pool), {end_});
    end_ = name_ + ".pool";
    return *this;
  }
  void end_branch() { ends_.push_back(end_); }
  void concat() { model_.add(name_ + ".concat", Concat(), ends_); }

 private:
  std::string add_conv(const std::string& part, std::int64_t out, const Kernel& kernel,
                       const std::string& input) {
    const std::string name = name_ + "." + part;
    const auto options = nn::Conv2dOptions(width_, out, {kernel.height, kernel.width})
                             .stride(kernel.stride)
                             .padding({kernel.pad_y, kernel.pad_x})
                             .bias(false);
    add_basic_conv(model_, name, nn::Conv2d(options), {input});
    return name + ".relu";
  }

  Model& model_;
  std::string name_, input_, end_;
  std::int64_t channels_, width_ = 0;
  std::vector<std::string> ends_;
};

nn::AvgPool2d average() { return nn::AvgPool2d(nn::AvgPool2dOptions(3).stride(1).padding(1)); }

void add_a(Model& model, const std::string& name, std::int64_t in, std::int64_t pooled) {
  Mixed mixed(model, name, in);
  mixed.branch().conv("branch1x1", 64, kOne).end_branch();
  mixed.branch().conv("branch5x5_1", 48, kOne).conv("branch5x5_2", 64, kFive).end_branch();
  mixed.branch().conv("branch3x3dbl_1", 64, kOne).conv("branch3x3dbl_2", 96, kThree);
  mixed.conv("branch3x3dbl_3", 96, kThree).end_branch();
  mixed.branch().pool(average()).conv("branch_pool", pooled, kOne).end_branch();
  mixed.concat();
}

void add_b(Model& model, const std::string& name, std::int64_t in) {
  Mixed mixed(model, name, in);
  mixed.branch().conv("branch3x3", 384, kThreeHalving).end_branch();
  mixed.branch().conv("branch3x3dbl_1", 64, kOne).conv("branch3x3dbl_2", 96, kThree);
  mixed.conv("branch3x3dbl_3", 96, kThreeHalving).end_branch();
  mixed.branch().pool(pool(3, 2)).end_branch();
  mixed.concat();
}

void add_c(Model& model, const std::string& name, std::int64_t in, std::int64_t width) {
  Mixed mixed(model, name, in);
  mixed.branch().conv("branch1x1", 192, kOne).end_branch();
  mixed.branch().conv("branch7x7_1", width, kOne).conv("branch7x7_2", width, kRow7);
  mixed.conv("branch7x7_3", 192, kColumn7).end_branch();
  mixed.branch().conv("branch7x7dbl_1", width, kOne).conv("branch7x7dbl_2", width, kColumn7);
  mixed.conv("branch7x7dbl_3", width, kRow7).conv("branch7x7dbl_4", width, kColumn7);
  mixed.conv("branch7x7dbl_5", 192, kRow7).end_branch();
  mixed.branch().pool(average()).conv("branch_pool", 192, kOne).end_branch();
  mixed.concat();
}

void add_d(Model& model, const std::string& name, std::int64_t in, const std::string& input) {
  Mixed mixed(model, name, in, input);
  mixed.branch().conv("branch3x3_1", 192, kOne).conv("branch3x3_2", 320, kThreeHalving);
  mixed.end_branch();
  mixed.branch().conv("branch7x7x3_1", 192, kOne).conv("branch7x7x3_2", 192, kRow7);
  mixed.conv("branch7x7x3_3", 192, kColumn7).conv("branch7x7x3_4", 192, kThreeHalving);
  mixed.end_branch();
  mixed.branch().pool(pool(3, 2)).end_branch();
  mixed.concat();
}

void add_e(Model& model, const std::string& name, std::int64_t in) {
  Mixed mixed(model, name, in);
  mixed.branch().conv("branch1x1", 320, kOne).end_branch();
  mixed.branch().conv("branch3x3_1", 384, kOne).fork("branch3x3_2a", "branch3x3_2b", 384);
  mixed.branch().conv("branch3x3dbl_1", 448, kOne).conv("branch3x3dbl_2", 384, kThree);
  mixed.fork("branch3x3dbl_3a", "branch3x3dbl_3b", 384);
  mixed.branch().pool(average()).conv("branch_pool", 192, kOne).end_branch();
  mixed.concat();
}

/// A classifier of the layer before, whose loss has the weight of TensorFlow's original.
void add_aux_logits(Model& model, const std::string& name, std::int64_t in) {
  model.add(name + ".pool", nn::AvgPool2d(nn::AvgPool2dOptions(5).stride(3)));  // 5 x 5
  add_basic_conv(model, name + ".conv0", plain_conv(in, 128, 1, 1, 0));
  add_basic_conv(model, name + ".conv1", plain_conv(128, 768, 5, 1, 0));  // 1 x 1
  model.add(name + ".mean", mean_pool())
      .add(name + ".flatten", nn::Flatten())
      .add(name + ".fc", nn::Linear(768, model.classes));
  model.auxiliary.push_back({name + ".fc", 0.4});
}

}  // namespace

/// torchvision.models.inception_v3.
void add_inception_v3(Model& model) {                                    // 3 x 299 x 299
  add_basic_conv(model, "Conv2d_1a_3x3", plain_conv(3, 32, 3, 2, 0));    // 32 x 149 x 149
  add_basic_conv(model, "Conv2d_2a_3x3", plain_conv(32, 32, 3, 1, 0));   // 32 x 147 x 147
  add_basic_conv(model, "Conv2d_2b_3x3", plain_conv(32, 64, 3, 1, 1));   // 64 x 147 x 147
  model.add("maxpool1", pool(3, 2));                                     // 64 x 73 x 73
  add_basic_conv(model, "Conv2d_3b_1x1", plain_conv(64, 80, 1, 1, 0));   // 80 x 73 x 73
  add_basic_conv(model, "Conv2d_4a_3x3", plain_conv(80, 192, 3, 1, 0));  // 192 x 71 x 71
  model.add("maxpool2", pool(3, 2));                                     // 192 x 35 x 35
  add_a(model, "Mixed_5b", 192, 32);                                     // 256 x 35 x 35
  add_a(model, "Mixed_5c", 256, 64);                                     // 288
  add_a(model, "Mixed_5d", 288, 64);                                     // 288
  add_b(model, "Mixed_6a", 288);                                         // 768 x 17 x 17
  add_c(model, "Mixed_6b", 768, 128);                                    //
  add_c(model, "Mixed_6c", 768, 160);                                    //
  add_c(model, "Mixed_6d", 768, 160);                                    //
  add_c(model, "Mixed_6e", 768, 192);                                    //
  add_aux_logits(model, "AuxLogits", 768);
  add_d(model, "Mixed_7a", 768, "Mixed_6e.concat");  // 1280 x 8 x 8
  add_e(model, "Mixed_7b", 1280);                    // 2048 x 8 x 8
  add_e(model, "Mixed_7c", 2048);                    //
  model.add("avgpool", mean_pool())
      .add("dropout", nn::Dropout(0.5))
      .add("flatten", nn::Flatten())
      .add("fc", nn::Linear(2048, model.classes));
  draw_weights(model, "", normal(0.1));  // torchvision cuts off what is beyond 20 deviations
  draw_weights(model, "AuxLogits.fc", normal(0.001));
}

}  // namespace millrace::zoo_parts
