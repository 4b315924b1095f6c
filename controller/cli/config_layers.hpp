#pragma once
// Layers of configuration: flags over --set over the config file over the defaults.

#include <string>
#include <utility>
#include <vector>

#include "controller/cli/run_config.hpp"

namespace millrace::cli {

/// What one command line says about settings, as text.
struct SettingLayers {
  std::string file;                                        ///< --config; "": none
  std::vector<std::string> assignments;                    ///< --set key=value, in order
  std::vector<std::pair<std::string, std::string>> flags;  ///< key -> text
};

/// Applies the layers to `base`. Where a layer says how the run ends (epochs, steps or time), what
/// lower layers said about it no longer counts. Throws ConfigError (tag "config"): file not
/// readable, not TOML, unknown key (naming the closest), a value of the wrong kind or out of range,
/// two ends in one layer.
RunConfig resolve(const SettingLayers& layers, RunConfig base = {});

/// The settings of a TOML text over `base`; `origin` names it in errors.
RunConfig apply_toml(RunConfig base, const std::string& text, const std::string& origin);

/// All settings as TOML, in the table's order; apply_toml reads it back, equal.
std::string to_toml(const RunConfig& config);

}  // namespace millrace::cli
