// The module's entry.

#include "controller/cli/torch/verbs.hpp"
#include "controller/cli/torch_verbs.hpp"
#include "millrace/log.hpp"

namespace millrace::cli {
namespace {

/// The module has its own copy of the log, whose level follows the command.
template <auto run>
struct WithVerbosity;

template <typename Command, int (*run)(const Command&, const Presentation&)>
struct WithVerbosity<run> {
  static int call(const Command& command, const Presentation& presentation) {
    set_verbosity(presentation.verbosity);
    return run(command, presentation);
  }
};

}  // namespace
}  // namespace millrace::cli

extern "C" __attribute__((visibility("default"))) const millrace::cli::TorchVerbs*
millrace_torch_verbs() {
  using namespace millrace::cli;
  static const TorchVerbs verbs = {
      torch_verbs_version(),          WithVerbosity<run_profile>::call,
      WithVerbosity<run_plan>::call,  WithVerbosity<run_estimate>::call,
      WithVerbosity<run_train>::call, WithVerbosity<run_resume>::call,
      WithVerbosity<run_eval>::call,  WithVerbosity<run_predict>::call,
      WithVerbosity<run_export>::call};
  return &verbs;
}
