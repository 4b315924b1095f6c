#include "models/zoo/parts.hpp"

namespace millrace::zoo_parts {
namespace {

/// A 1 x 1 convolution to few channels, then 1 x 1 and 3 x 3 ones side by side.
void add_fire(Model& model, const std::string& name, std::int64_t in, std::int64_t squeezed,
              std::int64_t expanded) {
  const std::string input = name + ".squeeze_activation";
  model.add(name + ".squeeze", conv(in, squeezed, 1, 1, 0)).add(input, nn::ReLU());
  model.add(name + ".expand1x1", conv(squeezed, expanded, 1, 1, 0))
      .add(name + ".expand1x1_activation", nn::ReLU());
  model.add(name + ".expand3x3", conv(squeezed, expanded, 3, 1, 1), {input})
      .add(name + ".expand3x3_activation", nn::ReLU());
  model.add(name + ".concat", Concat(),
            {name + ".expand1x1_activation", name + ".expand3x3_activation"});
}

}  // namespace

/// torchvision.models.squeezenet1_1.
void add_squeezenet(Model& model) {  // 3 x 224 x 224
  model
      .add("features.0", conv(3, 64, 3, 2, 0))   // 64 x 111 x 111
      .add("features.1", nn::ReLU())             //
      .add("features.2", ceil_pool(3, 2));       // 64 x 55 x 55
  add_fire(model, "features.3", 64, 16, 64);     // 128 x 55 x 55
  add_fire(model, "features.4", 128, 16, 64);    //
  model.add("features.5", ceil_pool(3, 2));      // 128 x 27 x 27
  add_fire(model, "features.6", 128, 32, 128);   // 256 x 27 x 27
  add_fire(model, "features.7", 256, 32, 128);   //
  model.add("features.8", ceil_pool(3, 2));      // 256 x 13 x 13
  add_fire(model, "features.9", 256, 48, 192);   // 384 x 13 x 13
  add_fire(model, "features.10", 384, 48, 192);  //
  add_fire(model, "features.11", 384, 64, 256);  // 512 x 13 x 13
  add_fire(model, "features.12", 512, 64, 256);  //
  model.add("classifier.0", nn::Dropout(0.5))
      .add("classifier.1", conv(512, model.classes, 1, 1, 0))
      .add("classifier.2", nn::ReLU())
      .add("classifier.3", mean_pool())
      .add("flatten", nn::Flatten());
  draw_weights(model, "features.", draw_evenly_by_inputs);
  draw_weights(model, "classifier.", normal(0.01));
  zero_biases(model);
}

}  // namespace millrace::zoo_parts
