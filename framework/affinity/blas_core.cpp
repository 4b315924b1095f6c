#include "framework/affinity/blas_core.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace millrace {
namespace {

/// Those of OpenBLAS's x86 cores whose kernels use AVX2 or more.
constexpr std::array<std::string_view, 6> kWithAvx2 = {"Haswell",  "Zen",        "Excavator",
                                                       "SkylakeX", "Cooperlake", "SapphireRapids"};

VectorUnits vector_units() {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return {avx2, avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")};
#else
  return {};
#endif
}

/// Empty where BLAS is none or another library.
std::string chosen_core() {
  void* const library = ::dlopen("libblas.so.3", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return "";
  using CoreName = const char* (*)();
  const auto name = reinterpret_cast<CoreName>(::dlsym(library, "openblas_get_corename"));
  const std::string core = name == nullptr ? "" : name();
  ::dlclose(library);
  return core;
}

void set(const std::string& name, const std::optional<std::string>& value) {
  if (value)
    ::setenv(name.c_str(), value->c_str(), 1);
  else
    ::unsetenv(name.c_str());
}

}  // namespace

std::optional<std::string> faster_blas_core(std::string_view chosen, VectorUnits units) {
  if (chosen.empty() || !units.avx2) return std::nullopt;
  if (std::find(kWithAvx2.begin(), kWithAvx2.end(), chosen) != kWithAvx2.end()) return std::nullopt;
  return units.avx512 ? "SkylakeX" : "Haswell";
}

std::optional<std::string> faster_blas_core() {
  const ScopedVariable by_itself("OPENBLAS_CORETYPE", std::nullopt);
  return faster_blas_core(chosen_core(), vector_units());
}

ScopedVariable::ScopedVariable(std::string name, const std::optional<std::string>& value)
    : name_(std::move(name)) {
  if (const char* before = std::getenv(name_.c_str())) before_ = before;
  set(name_, value);
}

ScopedVariable::~ScopedVariable() { set(name_, before_); }

}  // namespace millrace
