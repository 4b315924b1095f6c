#include "framework/topology/blas_core.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <initializer_list>
#include <utility>

namespace millrace {
namespace {

/// OpenBLAS writes its names in either case.
bool is_one_of(std::string_view core, std::initializer_list<std::string_view> names) {
  return std::any_of(names.begin(), names.end(), [&](std::string_view name) {
    return std::equal(core.begin(), core.end(), name.begin(), name.end(), [](char a, char b) {
      return std::tolower(static_cast<unsigned char>(a)) ==
             std::tolower(static_cast<unsigned char>(b));
    });
  });
}

/// Of an OpenBLAS that can choose; else empty.
std::string core_of(void* library) {
  const auto text = [&](const char* function) -> std::string {
    const auto get = reinterpret_cast<const char* (*)()>(::dlsym(library, function));
    return get == nullptr ? "" : get();
  };
  const bool chooses = text("openblas_get_config").find("DYNAMIC_ARCH") != std::string::npos;
  return chooses ? text("openblas_get_corename") : "";
}

std::string core_of_library(int how) {
  void* const library = ::dlopen("libblas.so.3", RTLD_NOW | RTLD_LOCAL | how);
  if (library == nullptr) return "";
  const std::string core = core_of(library);
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

VectorUnits vector_units() {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return {avx2, avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")};
#else
  return {};
#endif
}

bool uses_widest(std::string_view core, VectorUnits units) {
  if (is_one_of(core, {"SkylakeX", "Cooperlake", "SapphireRapids"})) return units.avx512;
  return units.avx2 && !units.avx512 && is_one_of(core, {"Haswell", "Zen", "Excavator"});
}

std::optional<std::string> faster_blas_core(std::string_view chosen, VectorUnits units) {
  const bool wide = is_one_of(
      chosen, {"Haswell", "Zen", "Excavator", "SkylakeX", "Cooperlake", "SapphireRapids"});
  if (chosen.empty() || wide || !units.avx2) return std::nullopt;
  return units.avx512 ? "SkylakeX" : "Haswell";
}

std::optional<std::string> faster_blas_core() {
  const ScopedVariable by_itself("OPENBLAS_CORETYPE", std::nullopt);
  return faster_blas_core(core_of_library(0), vector_units());
}

std::optional<std::string> faster_loaded_blas_core() {
  return faster_blas_core(core_of_library(RTLD_NOLOAD), vector_units());
}

ScopedVariable::ScopedVariable(std::string name, const std::optional<std::string>& value)
    : name_(std::move(name)) {
  if (const char* before = std::getenv(name_.c_str())) before_ = before;
  set(name_, value);
}

ScopedVariable::~ScopedVariable() { set(name_, before_); }

}  // namespace millrace
