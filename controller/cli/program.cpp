#include "controller/cli/program.hpp"

#include <fmt/format.h>

#include <csignal>
#include <exception>
#include <filesystem>
#include <new>
#include <sstream>

#include "controller/cli/output.hpp"
#include "controller/cli/verbs.hpp"
#include "framework/base/closest.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"

namespace millrace::cli {
namespace {

void add_verbs(CLI::App& program, Action& action) {
  for (const auto add : {add_topology, add_profile, add_plan, add_estimate, add_train, add_resume,
                         add_status, add_stop, add_eval, add_predict, add_export, add_models,
                         add_data, add_bench, add_completion}) {
    add(program, action);
  }
}

/// The verb that was asked for, down to the last one named ("data make").
const CLI::App& verb_of(const CLI::App& program) {
  const auto parsed = program.get_subcommands();
  return parsed.empty() ? program : verb_of(*parsed.front());
}

std::vector<std::string> verb_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(verb->get_name());
  }
  return names;
}

std::vector<std::string> flag_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back(fmt::format("--{}", name));
  }
  return names;
}

std::string path_of(const CLI::App& verb) {
  const CLI::App* parent = verb.get_parent();
  return parent == nullptr ? verb.get_name() : path_of(*parent) + " " + verb.get_name();
}

/// CLI11's complaint in our words, with what may have been meant.
std::string describe(const CLI::ParseError& error, const CLI::App& program) {
  const CLI::App& verb = verb_of(program);
  const auto names = verb_names(verb);
  const std::string help = fmt::format("; see {} --help", path_of(verb));
  const std::string text = error.what();
  if (text.ends_with(" was given a disallowed flag override"))
    return fmt::format("--{} takes no value{}", text.substr(0, text.find(' ')), help);
  const auto extras = program.remaining(true);
  const bool surplus = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr ||
                       dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  if (!surplus || extras.empty()) return text + help;
  const std::string& word = extras.front();
  if (word.starts_with('-')) {
    const std::string flag = word.substr(0, word.find('='));
    const std::string near = closest(flag, flag_names(verb));
    return fmt::format("unknown flag '{}'{}{}", flag,
                       near.empty() ? "" : fmt::format(": did you mean '{}'?", near), help);
  }
  if (!names.empty()) return fmt::format("unknown verb '{}'{}", word, suggestion(word, names));
  return fmt::format("unexpected argument '{}'{}", word, help);
}

int fail(ExitCode code, const std::string& message) {
  log_error(message);
  return static_cast<int>(code);
}

int parse_and_run(int argc, const char* const* argv) {
  CLI::App program("Trains neural networks on multi-core SoCs.", "millrace");
  Action action;
  program.set_version_flag("--version", "millrace " MILLRACE_VERSION);
  program.require_subcommand(1);
  program.footer("Each verb has --help with examples.");
  add_verbs(program, action);
  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    std::ostringstream text;
    program.exit(asked, text);
    print(text.str());
    return static_cast<int>(ExitCode::done);
  } catch (const CLI::ParseError& error) {
    throw ConfigError("usage", describe(error, program));
  }
  return action();
}

}  // namespace

int run_program(int argc, const char* const* argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file-size limit is an error of the write, not the end
  try {
    return parse_and_run(argc, argv);
  } catch (const Error& error) {
    return fail(error.code(), error.what());
  } catch (const std::filesystem::filesystem_error& error) {
    return fail(ExitCode::resource, std::string("[files] ") + error.what() +
                                        ": check the name, the permissions and the free space");
  } catch (const std::bad_alloc&) {
    return fail(ExitCode::resource,
                "[memory] the system has no more memory: lower --batch, or give "
                "a --memory budget that fits");
  } catch (const std::exception& error) {
    return fail(ExitCode::internal, std::string("[internal] ") + error.what());
  } catch (...) {
    return fail(ExitCode::internal, "[internal] an exception of unknown type");
  }
}

}  // namespace millrace::cli
