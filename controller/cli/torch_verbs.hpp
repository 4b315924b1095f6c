#pragma once
// The verbs that need tensors live in a module that is loaded when one of them is asked for, so
// that the others start without LibTorch.

#include <string>

#include "controller/cli/commands.hpp"

namespace millrace::cli {

/// Entries of the module; each returns an exit code or throws as the framework does.
struct TorchVerbs {
  const char* version;  ///< must be torch_verbs_version() of the program
  int (*profile)(const ProfileCommand&, const Presentation&);
  int (*plan)(const PlanCommand&, const Presentation&);
  int (*estimate)(const EstimateCommand&, const Presentation&);
  int (*train)(const TrainCommand&, const Presentation&);
  int (*resume)(const ResumeCommand&, const Presentation&);
  int (*evaluate)(const EvalCommand&, const Presentation&);
  int (*predict)(const PredictCommand&, const Presentation&);
  int (*export_weights)(const ExportCommand&, const Presentation&);
};

/// Version and layout of the values that cross the border.
const char* torch_verbs_version();

/// The module's one exported symbol: `extern "C" const TorchVerbs* millrace_torch_verbs()`.
inline constexpr const char* kTorchVerbsSymbol = "millrace_torch_verbs";

/// Loads the module on the first call. Throws ConfigError (tag "build") where this build has no
/// training, ResourceError where the module is there but does not load.
const TorchVerbs& torch_verbs();

}  // namespace millrace::cli
