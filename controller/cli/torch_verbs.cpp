#include "controller/cli/torch_verbs.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

#include "controller/cli/install_paths.hpp"
#include "framework/topology/blas_core.hpp"
#include "millrace/errors.hpp"
#include "millrace/units.hpp"

namespace millrace::cli {
namespace {

/// Libraries of BLAS and the like end in a loop or a crash where addresses run out, so less than
/// what was seen to do is refused: LibTorch alone maps 1 GiB.
constexpr double kLeastAddresses = 2.75 * (1 << 30);

void require_addresses() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  const auto allowed = static_cast<double>(limit.rlim_cur);
  if (allowed >= kLeastAddresses) return;
  throw ResourceError(
      "memory", fmt::format("this process may use {} of addresses (ulimit -v), LibTorch and a "
                            "small model need {}: raise the limit",
                            format_bytes(allowed), format_bytes(kLeastAddresses)));
}

/// OpenBLAS reads its variable once, when it is loaded with LibTorch. Who has set it is obeyed.
void* load_module(const std::filesystem::path& path) {
  const char* const asked = std::getenv("OPENBLAS_CORETYPE");
  const bool chosen = asked != nullptr && *asked != '\0';
  const auto core = chosen ? std::optional<std::string>(asked) : faster_blas_core();
  const ScopedVariable variable("OPENBLAS_CORETYPE", core);
  return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
}

const TorchVerbs& load() {
  require_addresses();
  const auto path = module_folder() / "libmillrace_torch_verbs.so";
  if (!std::filesystem::exists(path)) {
    throw ConfigError("build", fmt::format("this build has no training ({} is missing): build with "
                                           "-DMILLRACE_TORCH=ON",
                                           path.string()));
  }
  void* const module = load_module(path);
  if (module == nullptr) throw ResourceError("build", fmt::format("cannot load {}", dlerror()));
  void* const symbol = dlsym(module, kTorchVerbsSymbol);
  const TorchVerbs* const verbs =
      symbol == nullptr ? nullptr : reinterpret_cast<const TorchVerbs* (*)()>(symbol)();
  if (verbs == nullptr || std::strcmp(verbs->version, torch_verbs_version()) != 0) {
    throw ResourceError(
        "build", fmt::format("{} is of version {}, the program of {}: build or "
                             "install both together",
                             path.string(), verbs ? verbs->version : "?", torch_verbs_version()));
  }
  return *verbs;
}

}  // namespace

const TorchVerbs& torch_verbs() {
  static const TorchVerbs& verbs = load();
  return verbs;
}

}  // namespace millrace::cli
