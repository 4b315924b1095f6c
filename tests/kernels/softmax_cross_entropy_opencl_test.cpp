// The OpenCL version against the reference, on every device of this machine.

#include <gtest/gtest.h>

#include <limits>

#include "kernels/softmax_cross_entropy/opencl.hpp"
#include "tests/kernels/softmax_cross_entropy_cases.hpp"

namespace millrace::kernels {
namespace {

using testing::Case;
using testing::cases;
using testing::expect_close;
using testing::name_of;
using testing::Output;
using testing::random_case;

std::vector<cl_device_id> all_devices() {
  cl_uint count = 0;
  if (clGetPlatformIDs(0, nullptr, &count) != CL_SUCCESS) return {};
  std::vector<cl_platform_id> platforms(count);
  clGetPlatformIDs(count, platforms.data(), nullptr);
  std::vector<cl_device_id> devices;
  for (const cl_platform_id platform : platforms) {
    if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &count) != CL_SUCCESS) continue;
    const std::size_t before = devices.size();
    devices.resize(before + count);
    clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, count, devices.data() + before, nullptr);
  }
  return devices;
}

class SoftmaxCrossEntropyOpenCl : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (cl_device_id device : all_devices()) {
      kernels_->push_back(std::make_unique<OpenClSoftmaxCrossEntropy>(device));
    }
  }
  static void TearDownTestSuite() { kernels_->clear(); }

  void SetUp() override {
    if (kernels_->empty()) GTEST_SKIP() << "this machine has no OpenCL device";
  }

  static Output run(OpenClSoftmaxCrossEntropy& kernel, const Case& c, float scale) {
    const auto version = [&](auto... arguments) { return kernel.run(arguments...); };
    return testing::run(version, c, scale);
  }

  static inline const auto kernels_ =
      std::make_unique<std::vector<std::unique_ptr<OpenClSoftmaxCrossEntropy>>>();
};

TEST_F(SoftmaxCrossEntropyOpenCl, EqualsTheReference) {
  for (const auto& kernel : *kernels_) {
    for (const Case& c : cases()) {
      SCOPED_TRACE(name_of(c));
      for (const float scale : {1.0F, 1.0F / 64}) {
        expect_close(run(*kernel, c, scale),
                     testing::run(softmax_cross_entropy_reference, c, scale), scale);
      }
    }
  }
}

TEST_F(SoftmaxCrossEntropyOpenCl, NoRowsIsNothing) {
  for (const auto& kernel : *kernels_) {
    EXPECT_EQ(kernel->run(nullptr, nullptr, 0, 10, 1.0F, nullptr), SoftmaxCrossEntropyResult{});
  }
}

TEST_F(SoftmaxCrossEntropyOpenCl, InPlaceAndWithoutGradientAreTheSame) {
  const Case c = random_case(5, 33, 3);
  for (const auto& kernel : *kernels_) {
    const Output apart = run(*kernel, c, 0.5F);
    std::vector<float> in_place = c.logits;
    EXPECT_EQ(kernel->run(in_place.data(), c.labels.data(), c.n, c.k, 0.5F, in_place.data()),
              apart.result);
    EXPECT_EQ(in_place, apart.gradient);
    EXPECT_EQ(kernel->run(c.logits.data(), c.labels.data(), c.n, c.k, 0.5F, nullptr), apart.result);
  }
}

TEST_F(SoftmaxCrossEntropyOpenCl, BadLabelsAndTiesAsTheReference) {
  Case c = random_case(4, 6, 1);
  c.labels[1] = 6;
  c.labels[2] = -1;
  const Case ties{2, 3, 1, {1, 4, 4, 1, 4, 4}, {1, 2}};
  for (const auto& kernel : *kernels_) {
    expect_close(run(*kernel, c, 1), testing::run(softmax_cross_entropy_reference, c, 1), 1);
    expect_close(run(*kernel, ties, 1), testing::run(softmax_cross_entropy_reference, ties, 1), 1);
  }
}

TEST_F(SoftmaxCrossEntropyOpenCl, LogitsThatAreNotFiniteAreNotHidden) {
  Case c = random_case(2, 9, 1);
  c.logits[4] = std::numeric_limits<float>::quiet_NaN();
  for (const auto& kernel : *kernels_) {
    EXPECT_FALSE(std::isfinite(run(*kernel, c, 1).result.loss_sum));
  }
}

}  // namespace
}  // namespace millrace::kernels
