#include "kernels/opencl/device_list.hpp"

#include <CL/cl.h>

#include <optional>

namespace millrace::kernels {
namespace {

std::vector<cl_platform_id> platforms() {
  cl_uint count = 0;
  if (clGetPlatformIDs(0, nullptr, &count) != CL_SUCCESS) return {};
  std::vector<cl_platform_id> result(count);
  if (clGetPlatformIDs(count, result.data(), nullptr) != CL_SUCCESS) return {};
  return result;
}

std::vector<cl_device_id> devices(cl_platform_id platform) {
  cl_uint count = 0;
  if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, nullptr, &count) != CL_SUCCESS) return {};
  std::vector<cl_device_id> result(count);
  if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, count, result.data(), nullptr) != CL_SUCCESS) {
    return {};
  }
  return result;
}

template <typename Value>
std::optional<Value> info(cl_device_id device, cl_device_info what) {
  Value value{};
  if (clGetDeviceInfo(device, what, sizeof value, &value, nullptr) != CL_SUCCESS) {
    return std::nullopt;
  }
  return value;
}

std::optional<std::string> name_of(cl_device_id device) {
  std::size_t size = 0;
  if (clGetDeviceInfo(device, CL_DEVICE_NAME, 0, nullptr, &size) != CL_SUCCESS || size == 0) {
    return std::nullopt;
  }
  std::string name(size, '\0');
  if (clGetDeviceInfo(device, CL_DEVICE_NAME, size, name.data(), nullptr) != CL_SUCCESS) {
    return std::nullopt;
  }
  name.pop_back();  // the terminator counts
  return name;
}

}  // namespace

std::vector<OpenClDevice> list_opencl_devices() {
  std::vector<OpenClDevice> result;
  for (const cl_platform_id platform : platforms()) {
    for (const cl_device_id device : devices(platform)) {
      const auto name = name_of(device);
      const auto memory = info<cl_ulong>(device, CL_DEVICE_GLOBAL_MEM_SIZE);
      const auto type = info<cl_device_type>(device, CL_DEVICE_TYPE);
      if (!name || !memory || !type) continue;
      result.push_back(
          {*name, static_cast<std::int64_t>(*memory), (*type & CL_DEVICE_TYPE_CPU) != 0});
    }
  }
  return result;
}

}  // namespace millrace::kernels
