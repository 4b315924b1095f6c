#pragma once
// The verbs of the module, as TorchVerbs names them.

#include "controller/cli/commands.hpp"

namespace millrace::cli {

int run_profile(const ProfileCommand& command, const Presentation& presentation);
int run_plan(const PlanCommand& command, const Presentation& presentation);
int run_estimate(const EstimateCommand& command, const Presentation& presentation);
int run_train(const TrainCommand& command, const Presentation& presentation);
int run_resume(const ResumeCommand& command, const Presentation& presentation);
int run_eval(const EvalCommand& command, const Presentation& presentation);
int run_predict(const PredictCommand& command, const Presentation& presentation);
int run_export(const ExportCommand& command, const Presentation& presentation);

}  // namespace millrace::cli
