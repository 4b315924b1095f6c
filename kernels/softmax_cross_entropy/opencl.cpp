#include "kernels/softmax_cross_entropy/opencl.hpp"

#define CL_HPP_ENABLE_EXCEPTIONS
#define CL_HPP_MINIMUM_OPENCL_VERSION 120
#define CL_HPP_TARGET_OPENCL_VERSION 120
#include <CL/opencl.hpp>
#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>
#include <vector>

namespace millrace::kernels {
namespace {

constexpr char kSource[] =
#include "softmax_cross_entropy.cl.inc"
    ;

/// More threads than this a row seldom needs.
constexpr std::size_t kMostThreads = 256;

[[noreturn]] void fail(const cl::Device& device, const std::string& what, int error,
                       const std::string& log = {}) {
  throw std::runtime_error("OpenCL device \"" + device.getInfo<CL_DEVICE_NAME>() + "\": " + what +
                           " failed with error " + std::to_string(error) +
                           (log.empty() ? "" : ":\n" + log));
}

cl::Kernel build(const cl::Context& context, const cl::Device& device) {
  cl::Program program(context, kSource);
  try {
    program.build(device);
  } catch (const cl::Error& error) {
    fail(device, "building the kernel", error.err(),
         program.getBuildInfo<CL_PROGRAM_BUILD_LOG>(device));
  }
  return {program, "softmax_cross_entropy"};
}

/// The kernel's reductions halve the work-group, so its size is a power of two.
std::size_t threads_per_row(const cl::Kernel& kernel, const cl::Device& device) {
  const auto most = kernel.getWorkGroupInfo<CL_KERNEL_WORK_GROUP_SIZE>(device);
  return std::bit_floor(std::min(kMostThreads, most));
}

/// `correct` holds 1 or 0 per row, -1 where the label is out of range.
SoftmaxCrossEntropyResult sum_rows(const std::vector<float>& row_loss,
                                   const std::vector<cl_int>& correct) {
  SoftmaxCrossEntropyResult result;
  for (std::size_t i = 0; i < row_loss.size(); ++i) {
    result.loss_sum += row_loss[i];
    result.correct += std::max(0, correct[i]);
    if (correct[i] < 0 && result.bad_row < 0) result.bad_row = static_cast<std::int64_t>(i);
  }
  return result;
}

}  // namespace

struct OpenClSoftmaxCrossEntropy::Parts {
  explicit Parts(const cl::Device& on)
      : device(on),
        context(device),
        queue(context, device),
        kernel(build(context, device)),
        threads(threads_per_row(kernel, device)) {}

  SoftmaxCrossEntropyResult run(const float* logits, const std::int64_t* labels, std::size_t n,
                                std::int64_t k, float scale, float* d_logits) {
    const std::size_t bytes = n * static_cast<std::size_t>(k) * sizeof(float);
    const auto copy_in = CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR;
    // OpenCL takes sources as pointers to non-const; it only reads them.
    const cl::Buffer logits_buffer(context, copy_in, bytes, const_cast<float*>(logits));
    const cl::Buffer labels_buffer(context, copy_in, n * sizeof(cl_long),
                                   const_cast<std::int64_t*>(labels));
    const cl::Buffer gradient_buffer(context, CL_MEM_WRITE_ONLY, bytes);
    const cl::Buffer loss_buffer(context, CL_MEM_WRITE_ONLY, n * sizeof(float));
    const cl::Buffer correct_buffer(context, CL_MEM_WRITE_ONLY, n * sizeof(cl_int));

    cl_uint index = 0;
    for (const auto* buffer : {&logits_buffer, &labels_buffer}) kernel.setArg(index++, *buffer);
    kernel.setArg(index++, static_cast<cl_long>(k));
    kernel.setArg(index++, scale);
    for (const auto* buffer : {&gradient_buffer, &loss_buffer, &correct_buffer}) {
      kernel.setArg(index++, *buffer);
    }
    kernel.setArg(index, cl::Local(threads * sizeof(float)));
    queue.enqueueNDRangeKernel(kernel, cl::NullRange, cl::NDRange(n * threads),
                               cl::NDRange(threads));

    std::vector<float> row_loss(n);
    std::vector<cl_int> correct(n);
    queue.enqueueReadBuffer(loss_buffer, CL_TRUE, 0, n * sizeof(float), row_loss.data());
    queue.enqueueReadBuffer(correct_buffer, CL_TRUE, 0, n * sizeof(cl_int), correct.data());
    if (d_logits != nullptr) queue.enqueueReadBuffer(gradient_buffer, CL_TRUE, 0, bytes, d_logits);
    return sum_rows(row_loss, correct);
  }

  cl::Device device;
  cl::Context context;
  cl::CommandQueue queue;
  cl::Kernel kernel;
  std::size_t threads;
};

OpenClSoftmaxCrossEntropy::OpenClSoftmaxCrossEntropy(cl_device_id device) {
  const cl::Device on(device, true);
  try {
    parts_ = std::make_unique<Parts>(on);
  } catch (const cl::Error& error) {
    fail(on, error.what(), error.err());
  }
}

OpenClSoftmaxCrossEntropy::~OpenClSoftmaxCrossEntropy() = default;

SoftmaxCrossEntropyResult OpenClSoftmaxCrossEntropy::run(const float* logits,
                                                         const std::int64_t* labels, std::int64_t n,
                                                         std::int64_t k, float scale,
                                                         float* d_logits) {
  if (n == 0) return {};
  try {
    return parts_->run(logits, labels, static_cast<std::size_t>(n), k, scale, d_logits);
  } catch (const cl::Error& error) {
    fail(parts_->device, error.what(), error.err());
  }
}

}  // namespace millrace::kernels
