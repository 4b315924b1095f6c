#include "models/zoo/parts.hpp"

namespace millrace::zoo_parts {
namespace {

/// torchvision.models.alexnet but for its first kernels, its pools and the side that is left.
void add_layers(Model& model, nn::Conv2d conv1, nn::Conv2d conv2, const nn::MaxPool2d& pooling,
                std::int64_t side) {
  const auto another = [&] { return nn::MaxPool2d(pooling->options); };
  model
      .add("features.0", std::move(conv1))          // 64 channels
      .add("features.1", nn::ReLU())                //
      .add("features.2", another())                 //
      .add("features.3", std::move(conv2))          // 192
      .add("features.4", nn::ReLU())                //
      .add("features.5", another())                 //
      .add("features.6", conv(192, 384, 3, 1, 1))   // 384
      .add("features.7", nn::ReLU())                //
      .add("features.8", conv(384, 256, 3, 1, 1))   // 256
      .add("features.9", nn::ReLU())                //
      .add("features.10", conv(256, 256, 3, 1, 1))  // 256
      .add("features.11", nn::ReLU())               //
      .add("features.12", another())                // 256 x side x side
      .add("avgpool", nn::AdaptiveAvgPool2d(nn::AdaptiveAvgPool2dOptions({side, side})))
      .add("flatten", nn::Flatten())
      .add("classifier.0", nn::Dropout(0.5))
      .add("classifier.1", nn::Linear(256 * side * side, 4096))
      .add("classifier.2", nn::ReLU())
      .add("classifier.3", nn::Dropout(0.5))
      .add("classifier.4", nn::Linear(4096, 4096))
      .add("classifier.5", nn::ReLU())
      .add("classifier.6", nn::Linear(4096, model.classes));
}

}  // namespace

/// 3 x 224 x 224; sides of 55, 27, 13 and 6 after conv1 and the pools.
void add_alexnet(Model& model) {
  nn::Conv2d conv1 = conv(3, 64, 11, 4, 2);  // made in this order: the seed decides the weights
  nn::Conv2d conv2 = conv(64, 192, 5, 1, 2);
  add_layers(model, std::move(conv1), std::move(conv2), pool(3, 2), 6);
}

/// 3 x 32 x 32; sides of 32, 16, 8 and 4.
void add_alexnet_32(Model& model) {
  nn::Conv2d conv1 = conv(3, 64, 3, 1, 1);
  nn::Conv2d conv2 = conv(64, 192, 3, 1, 1);
  add_layers(model, std::move(conv1), std::move(conv2), pool(2, 2), 4);
}

}  // namespace millrace::zoo_parts
