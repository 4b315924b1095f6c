// Networks for images of digits.

#include "models/zoo/parts.hpp"

namespace millrace::zoo_parts {

/// LeNet-5 (LeCun 1998) on 28 px: ReLU for its tanh, max pooling for its trained averages.
void add_lenet5(Model& model) {  // 1 x 28 x 28
  model
      .add("conv1", conv(1, 6, 5, 1, 2))           // 6 x 28 x 28
      .add("relu1", nn::ReLU())                    //
      .add("pool1", pool(2, 2))                    // 6 x 14 x 14
      .add("conv2", conv(6, 16, 5, 1, 0))          // 16 x 10 x 10
      .add("relu2", nn::ReLU())                    //
      .add("pool2", pool(2, 2))                    // 16 x 5 x 5
      .add("flatten", nn::Flatten())               // 400
      .add("fc1", nn::Linear(400, 120))            // 120
      .add("relu3", nn::ReLU())                    //
      .add("fc2", nn::Linear(120, 84))             // 84
      .add("relu4", nn::ReLU())                    //
      .add("fc3", nn::Linear(84, model.classes));  // classes
}

/// The 300-100 perceptron of LeCun 1998, with ReLU.
void add_mlp(Model& model) {  // 1 x 28 x 28
  model
      .add("flatten", nn::Flatten())                // 784
      .add("fc1", nn::Linear(784, 300))             // 300
      .add("relu1", nn::ReLU())                     //
      .add("fc2", nn::Linear(300, 100))             // 100
      .add("relu2", nn::ReLU())                     //
      .add("fc3", nn::Linear(100, model.classes));  // classes
}

}  // namespace millrace::zoo_parts
