#include "kernels/opencl/device_list.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace millrace::kernels {
namespace {

// PoCL, which the tests need, gives the CPU as a device.
TEST(OpenClDevices, HoldTheCpu) {
  const auto devices = list_opencl_devices();
  EXPECT_TRUE(std::any_of(devices.begin(), devices.end(),
                          [](const OpenClDevice& device) { return device.is_cpu; }));
}

TEST(OpenClDevices, HaveNamesAndMemory) {
  for (const OpenClDevice& device : list_opencl_devices()) {
    EXPECT_FALSE(device.name.empty());
    EXPECT_EQ(device.name.find('\0'), std::string::npos) << "the terminator is no part of it";
    EXPECT_GT(device.memory_bytes, 0);
  }
}

}  // namespace
}  // namespace millrace::kernels
