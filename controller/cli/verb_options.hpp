#pragma once
// How a verb declares its flags.

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "controller/cli/commands.hpp"
#include "controller/cli/config_layers.hpp"
#include "controller/cli/settings.hpp"

namespace millrace::cli {

/// What runs once the command line is read; returns the exit code.
using Action = std::function<int()>;

/// A verb under construction: its CLI11 subcommand, and where its action goes.
class Verb {
 public:
  Verb(CLI::App& program, Action& action, const std::string& name, const std::string& purpose);

  CLI::App& app() { return app_; }
  /// Adds the flags of these groups, --config and --set. `own`: keys whose flags the verb declares
  /// itself.
  Verb& settings(std::vector<SettingGroup> groups, const std::set<std::string>& own = {});
  /// The positional MODEL, a setting as well.
  Verb& model();
  Verb& examples(const std::string& text);
  /// `run` gets what the flags say; called after all are read.
  void runs(std::function<int(const SettingLayers&, const Presentation&)> run);

 private:
  CLI::App& app_;
  Action& action_;
  std::shared_ptr<Presentation> presentation_ = std::make_shared<Presentation>();
  std::shared_ptr<SettingLayers> layers_ = std::make_shared<SettingLayers>();
  std::string keys_;  // of settings that have no flag
};

/// The configuration that the layers give; with -v it is logged. Throws ConfigError.
RunConfig resolved(const SettingLayers& layers, RunConfig base = {});

/// The same for a verb that needs a model: refuses where none is named or the zoo has no such.
RunConfig resolved_with_model(const SettingLayers& layers, RunConfig base = {});

}  // namespace millrace::cli
