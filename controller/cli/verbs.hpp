#pragma once
// One function per verb, each in its own file.

#include "controller/cli/verb_options.hpp"

namespace millrace::cli {

void add_topology(CLI::App& program, Action& action);
void add_profile(CLI::App& program, Action& action);
void add_plan(CLI::App& program, Action& action);
void add_estimate(CLI::App& program, Action& action);
void add_train(CLI::App& program, Action& action);
void add_resume(CLI::App& program, Action& action);
void add_status(CLI::App& program, Action& action);
void add_stop(CLI::App& program, Action& action);
void add_eval(CLI::App& program, Action& action);
void add_predict(CLI::App& program, Action& action);
void add_export(CLI::App& program, Action& action);
void add_models(CLI::App& program, Action& action);
void add_data(CLI::App& program, Action& action);
void add_bench(CLI::App& program, Action& action);
void add_completion(CLI::App& program, Action& action);

}  // namespace millrace::cli
