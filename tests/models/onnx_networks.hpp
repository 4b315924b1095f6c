#pragma once
// The networks of the zoo that go out to ONNX files and come back, as parameters of tests.

#include <gtest/gtest.h>

#include <string>

namespace millrace {

inline auto every_network() {
  return ::testing::Values("alexnet-32", "lenet5", "mlp", "resnet18", "resnet20", "squeezenet1_1",
                           "mobilenet_v2", "googlenet", "inception_v3", "densenet121");
}

/// As the name of a test.
inline std::string test_name(const ::testing::TestParamInfo<std::string>& network) {
  std::string name = network.param;
  std::erase(name, '-');
  return name;
}

}  // namespace millrace
