#include "models/zoo/parts.hpp"

namespace millrace::zoo_parts {

/// torchvision.models.alexnet, shapes of one sample on the right.
void add_alexnet(Model& model) {  // 3 x 224 x 224
  model
      .add("features.0", conv(3, 64, 11, 4, 2))     // 64 x 55 x 55
      .add("features.1", nn::ReLU())                //
      .add("features.2", pool(3, 2))                // 64 x 27 x 27
      .add("features.3", conv(64, 192, 5, 1, 2))    // 192 x 27 x 27
      .add("features.4", nn::ReLU())                //
      .add("features.5", pool(3, 2))                // 192 x 13 x 13
      .add("features.6", conv(192, 384, 3, 1, 1))   // 384 x 13 x 13
      .add("features.7", nn::ReLU())                //
      .add("features.8", conv(384, 256, 3, 1, 1))   // 256 x 13 x 13
      .add("features.9", nn::ReLU())                //
      .add("features.10", conv(256, 256, 3, 1, 1))  // 256 x 13 x 13
      .add("features.11", nn::ReLU())               //
      .add("features.12", pool(3, 2))               // 256 x 6 x 6
      .add("avgpool", nn::AdaptiveAvgPool2d(nn::AdaptiveAvgPool2dOptions({6, 6})))
      .add("flatten", nn::Flatten())                          // 9216
      .add("classifier.0", nn::Dropout(0.5))                  //
      .add("classifier.1", nn::Linear(9216, 4096))            // 4096
      .add("classifier.2", nn::ReLU())                        //
      .add("classifier.3", nn::Dropout(0.5))                  //
      .add("classifier.4", nn::Linear(4096, 4096))            // 4096
      .add("classifier.5", nn::ReLU())                        //
      .add("classifier.6", nn::Linear(4096, model.classes));  // classes
}

/// The same layers under the same names; kernels, strides and pools fit 32 px.
void add_alexnet_32(Model& model) {  // 3 x 32 x 32
  model
      .add("features.0", conv(3, 64, 3, 1, 1))      // 64 x 32 x 32
      .add("features.1", nn::ReLU())                //
      .add("features.2", pool(2, 2))                // 64 x 16 x 16
      .add("features.3", conv(64, 192, 3, 1, 1))    // 192 x 16 x 16
      .add("features.4", nn::ReLU())                //
      .add("features.5", pool(2, 2))                // 192 x 8 x 8
      .add("features.6", conv(192, 384, 3, 1, 1))   // 384 x 8 x 8
      .add("features.7", nn::ReLU())                //
      .add("features.8", conv(384, 256, 3, 1, 1))   // 256 x 8 x 8
      .add("features.9", nn::ReLU())                //
      .add("features.10", conv(256, 256, 3, 1, 1))  // 256 x 8 x 8
      .add("features.11", nn::ReLU())               //
      .add("features.12", pool(2, 2))               // 256 x 4 x 4
      .add("avgpool", nn::AdaptiveAvgPool2d(nn::AdaptiveAvgPool2dOptions({4, 4})))
      .add("flatten", nn::Flatten())                          // 4096
      .add("classifier.0", nn::Dropout(0.5))                  //
      .add("classifier.1", nn::Linear(4096, 4096))            // 4096
      .add("classifier.2", nn::ReLU())                        //
      .add("classifier.3", nn::Dropout(0.5))                  //
      .add("classifier.4", nn::Linear(4096, 4096))            // 4096
      .add("classifier.5", nn::ReLU())                        //
      .add("classifier.6", nn::Linear(4096, model.classes));  // classes
}

}  // namespace millrace::zoo_parts
