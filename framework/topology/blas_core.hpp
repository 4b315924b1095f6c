#pragma once
// Which kernels OpenBLAS computes with. An OpenBLAS that is older than the CPU does not know it and
// takes those of a CPU without AVX: LibTorch then trains AlexNet at three quarters of the speed.

#include <optional>
#include <string>
#include <string_view>

namespace millrace {

struct VectorUnits {
  bool avx2 = false;    ///< with FMA
  bool avx512 = false;  ///< what OpenBLAS's kernels of SkylakeX need: F, BW, DQ, VL
};

VectorUnits vector_units();

/// Whether the kernels of `core`, a name as OPENBLAS_CORETYPE takes it, use the widest of `units`.
bool uses_widest(std::string_view core, VectorUnits units);

/// The value of OPENBLAS_CORETYPE whose kernels use `units`, where those of `chosen` (a name as
/// openblas_get_corename() gives it) use less than AVX2; nothing where they do not, or on other
/// processors.
std::optional<std::string> faster_blas_core(std::string_view chosen, VectorUnits units);

/// The same for this CPU and what OpenBLAS chooses where OPENBLAS_CORETYPE is not set; nothing
/// where the system's BLAS is another library. Loads it and unloads it again, 10 ms. Not
/// thread-safe: it takes the variable out of the environment meanwhile.
std::optional<std::string> faster_blas_core();

/// The same for the OpenBLAS that this process has loaded. Thread-safe.
std::optional<std::string> faster_loaded_blas_core();

/// Sets a variable of the environment while it lives. Not thread-safe.
class ScopedVariable {
 public:
  /// `value` nothing: the variable is taken out.
  ScopedVariable(std::string name, const std::optional<std::string>& value);
  ~ScopedVariable();
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  std::string name_;
  std::optional<std::string> before_;
};

}  // namespace millrace
