#pragma once
// The networks of the zoo that go out to ONNX files and come back, as parameters of tests.

#include <gtest/gtest.h>

#include <string>

#include "millrace/model.hpp"

namespace millrace {

inline auto every_network() {
  return ::testing::Values("alexnet-32", "lenet5", "mlp", "resnet18", "resnet20", "squeezenet1_1",
                           "mobilenet_v2", "googlenet", "inception_v3", "densenet121");
}

/// What of the model goes out: the layers that its output needs.
inline Model without_heads(Model model) {
  const std::vector<bool> left_out = training_only(model);
  for (std::size_t l = left_out.size(); l-- > 0;)
    if (left_out[l]) model.layers.erase(model.layers.begin() + static_cast<std::ptrdiff_t>(l));
  model.auxiliary.clear();
  return model;
}

/// As the name of a test.
inline std::string test_name(const ::testing::TestParamInfo<std::string>& network) {
  std::string name = network.param;
  std::erase(name, '-');
  return name;
}

}  // namespace millrace
