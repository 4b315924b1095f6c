#include "controller/cli/install_paths.hpp"

namespace millrace::cli {
namespace {

std::filesystem::path prefix() { return this_program().parent_path().parent_path(); }

}  // namespace

std::filesystem::path this_program() { return std::filesystem::read_symlink("/proc/self/exe"); }

std::filesystem::path module_folder() { return prefix() / MILLRACE_LIBDIR / "millrace"; }

std::filesystem::path libexec_folder() { return prefix() / MILLRACE_LIBEXECDIR / "millrace"; }

}  // namespace millrace::cli
