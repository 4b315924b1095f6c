#include <fmt/format.h>

#include "controller/cli/torch_verbs.hpp"

namespace millrace::cli {

const char* torch_verbs_version() {
  static const std::string version =
      fmt::format("{}-{}-{}-{}", MILLRACE_VERSION, sizeof(TorchVerbs), sizeof(RunConfig),
                  sizeof(TrainCommand) + sizeof(ResumeCommand) + sizeof(EvalCommand));
  return version.c_str();
}

}  // namespace millrace::cli
