#pragma once
// The OpenCL devices of this machine. Without OpenCL (MILLRACE_OPENCL=OFF) none/ takes the place of
// the implementation and the list is empty.

#include <cstdint>
#include <string>
#include <vector>

namespace millrace::kernels {

struct OpenClDevice {
  std::string name;
  std::int64_t memory_bytes = 0;
  bool is_cpu = false;  ///< runs on the same cores as everything else (PoCL)
};

/// Every device of every platform, in the loader's order. A platform or device that fails is left
/// out: a broken driver must not keep the cores from being used. The first call may load drivers
/// (tens of milliseconds).
std::vector<OpenClDevice> list_opencl_devices();

}  // namespace millrace::kernels
