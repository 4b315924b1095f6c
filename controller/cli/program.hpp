#pragma once
// The program `millrace`: its verbs, and how errors become exit codes.

namespace millrace::cli {

/// Runs one command line. Returns the exit code (errors.hpp); every error is reported on standard
/// error, never thrown.
int run_program(int argc, const char* const* argv);

}  // namespace millrace::cli
