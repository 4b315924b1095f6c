#include <gtest/gtest.h>

#include "kernels/opencl/device_list.hpp"

namespace millrace::kernels {
namespace {

// Linked with the stub, and run with the real list where no driver is installed.
TEST(OpenClDevices, AreNoneWithoutADriver) { EXPECT_TRUE(list_opencl_devices().empty()); }

}  // namespace
}  // namespace millrace::kernels
