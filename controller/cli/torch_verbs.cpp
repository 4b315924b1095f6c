#include "controller/cli/torch_verbs.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstring>

#include "controller/cli/install_paths.hpp"
#include "millrace/errors.hpp"

namespace millrace::cli {
namespace {

const TorchVerbs& load() {
  const auto path = module_folder() / "libmillrace_torch_verbs.so";
  if (!std::filesystem::exists(path)) {
    throw ConfigError("build", fmt::format("this build has no training ({} is missing): build with "
                                           "-DMILLRACE_TORCH=ON",
                                           path.string()));
  }
  void* const module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
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
