# Every third-party package, found once; all come from Debian's packages (quickstart installs them).
find_package(Threads REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(TBB REQUIRED)
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(hwloc REQUIRED IMPORTED_TARGET hwloc>=2.0)
pkg_check_modules(hwy REQUIRED IMPORTED_TARGET libhwy)
# Code is made for the baseline, AVX2, AVX-512 and NEON, and chosen when a program runs.
# Under sanitizers without AVX-512: instrumented, each copy takes GCC half a minute and more.
set(MILLRACE_HWY_DISABLED "HWY_SSSE3|HWY_SSE4|HWY_AVX3_DL|HWY_SVE|HWY_SVE2|HWY_SVE_256|HWY_SVE2_128")
if(MILLRACE_SANITIZE)
  string(APPEND MILLRACE_HWY_DISABLED "|HWY_AVX3")
endif()
target_compile_definitions(PkgConfig::hwy INTERFACE "HWY_DISABLED_TARGETS=(${MILLRACE_HWY_DISABLED})")

if(MILLRACE_OPENCL)
  find_package(OpenCL REQUIRED)
endif()

if(MILLRACE_TORCH)
  find_package(Torch QUIET)
  if(NOT Torch_FOUND)
    message(FATAL_ERROR "LibTorch was not found: install libtorch-dev, pass -DTorch_DIR=FOLDER, "
                        "or build without training by -DMILLRACE_TORCH=OFF")
  endif()
  # The package's own target drags in flags and libraries of its build machine; this is what using
  # it takes.
  add_library(millrace_torch INTERFACE)
  target_include_directories(millrace_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
  target_link_libraries(millrace_torch INTERFACE ${TORCH_LIBRARIES} OpenMP::OpenMP_CXX)
  install(TARGETS millrace_torch EXPORT MillraceTargets)
  set_target_properties(millrace_torch PROPERTIES EXPORT_NAME torch)
endif()

if(MILLRACE_TESTS)
  find_package(GTest REQUIRED)
endif()
if(MILLRACE_BENCH)
  find_package(benchmark REQUIRED)
endif()
