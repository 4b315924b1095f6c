#pragma once
// Where the program's own files lie, relative to the program: the same in a build and an install.

#include <filesystem>

namespace millrace::cli {

/// The program that runs.
std::filesystem::path this_program();
/// Modules: lib/millrace beside bin.
std::filesystem::path module_folder();
/// Programs that only `millrace` starts: libexec/millrace beside bin.
std::filesystem::path libexec_folder();

}  // namespace millrace::cli
