#pragma once
// Softmax cross-entropy on an OpenCL device; contract and numerics in softmax_cross_entropy.hpp.

#include <CL/cl.h>

#include <cstdint>
#include <memory>

#include "kernels/softmax_cross_entropy/softmax_cross_entropy.hpp"

namespace millrace::kernels {

/// The compiled kernel with a queue of its own on one device. One thread at a time.
class OpenClSoftmaxCrossEntropy {
 public:
  /// Throws std::runtime_error naming the device, the OpenCL call and its error (for a build: the
  /// compiler's log).
  explicit OpenClSoftmaxCrossEntropy(cl_device_id device);
  ~OpenClSoftmaxCrossEntropy();

  /// As softmax_cross_entropy_cpu, on host memory: copied to the device and back. A row's loss is a
  /// float32 there; the rows are summed in double. Throws std::runtime_error where the device
  /// fails.
  SoftmaxCrossEntropyResult run(const float* logits, const std::int64_t* labels, std::int64_t n,
                                std::int64_t k, float scale, float* d_logits);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace millrace::kernels
