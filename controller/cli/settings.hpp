#pragma once
// The table of settings: one row per key of the config file and `--set`, with its flag, if it has
// one, its check and its text form.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "controller/cli/run_config.hpp"

namespace millrace::cli {

/// Which verbs take the flag of a setting: all that need a plan, or those that train; ending: when
/// a run ends, and watching: how it is watched, which resume may change.
enum class SettingGroup { shared, planning, data, training, ending, watching };

struct Setting {
  std::string key;   ///< "plan.micro_batch": table and key of the TOML file
  std::string flag;  ///< "--micro-batch"; "" where only the file and --set reach it
  std::string form;  ///< "N|auto", for the help; "" for a switch
  std::string help;
  SettingGroup group;
  bool is_text;  ///< a string in TOML, else a number or a boolean

  /// Checks and stores. Throws ConfigError (tag "config") naming key, value and what is accepted.
  std::function<void(RunConfig&, const std::string& text)> set;
  /// The text that `set` reads back; absent: the value is not given.
  std::function<std::optional<std::string>(const RunConfig&)> get;
};

/// All settings, in the order of the config file.
const std::vector<Setting>& settings();

/// Throws ConfigError (tag "config") naming `origin` and the closest key.
const Setting& find_setting(const std::string& key, const std::string& origin);

}  // namespace millrace::cli
