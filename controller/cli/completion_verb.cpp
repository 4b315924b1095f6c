#include <fmt/ranges.h>

#include "controller/cli/output.hpp"
#include "controller/cli/verbs.hpp"
#include "framework/base/closest.hpp"
#include "millrace/errors.hpp"
#include "models/zoo/list.hpp"

namespace millrace::cli {
namespace {

std::string flags_of(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back(fmt::format("--{}", name));
  }
  return fmt::format("{}", fmt::join(flags, " "));
}

std::vector<CLI::App*> all_verbs(CLI::App& program) {
  return program.get_subcommands([](CLI::App*) { return true; });
}

std::string bash_script(CLI::App& program) {
  std::vector<std::string> names, models;
  std::string cases;
  for (CLI::App* verb : all_verbs(program)) {
    names.push_back(verb->get_name());
    std::string words = flags_of(*verb);
    for (const CLI::App* inner : all_verbs(*verb)) {
      words += " " + inner->get_name() + " " + flags_of(*inner);
    }
    const CLI::Option* model = verb->get_option_no_throw("model");
    cases += fmt::format("    {}) words=\"{}{}\" ;;\n", verb->get_name(), words,
                         model == nullptr ? "" : " $models");
  }
  for (const ModelInfo& info : zoo()) models.push_back(info.name);
  return fmt::format(
      "# Completion of millrace for bash: source <(millrace completion bash)\n"
      "_millrace() {{\n"
      "  local word=${{COMP_WORDS[COMP_CWORD]}} models=\"{}\" words\n"
      "  case ${{COMP_CWORD}}:${{COMP_WORDS[1]}} in 1:*) words=\"{} --help --version\" ;; *)\n"
      "    case ${{COMP_WORDS[1]}} in\n{}    esac ;;\n  esac\n"
      "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
      "}}\n"
      "complete -o default -F _millrace millrace",
      fmt::join(models, " "), fmt::join(names, " "), cases);
}

}  // namespace

void add_completion(CLI::App& program, Action& action) {
  CLI::App* verb =
      program.add_subcommand("completion", "prints a script that completes verbs and flags");
  const auto shell = std::make_shared<std::string>();
  verb->add_option("shell", *shell, "which shell: bash")->type_name("SHELL")->required();
  verb->footer("Examples:\n  source <(millrace completion bash)");
  verb->callback([&program, &action, shell] {
    if (*shell != "bash") {
      throw ConfigError("usage",
                        "no completion for '" + *shell + "'" + suggestion(*shell, {"bash"}));
    }
    action = [&program] {
      print(bash_script(program));
      return 0;
    };
  });
}

}  // namespace millrace::cli
