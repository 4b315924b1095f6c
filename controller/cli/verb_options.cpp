#include "controller/cli/verb_options.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "controller/cli/planning.hpp"
#include "millrace/errors.hpp"
#include "millrace/log.hpp"
#include "millrace/units.hpp"
#include "models/zoo/list.hpp"

namespace millrace::cli {
namespace {

void add_setting(CLI::App& app, const std::shared_ptr<SettingLayers>& layers,
                 const Setting& setting) {
  const auto give = [layers, key = setting.key, flag = setting.flag](const std::string& text) {
    if (text.empty())
      throw ConfigError("usage", flag + " is empty: give it a value, or leave it out");
    layers->flags.emplace_back(key, text);
  };
  const std::string usual = setting.get({}).value_or("");
  if (setting.form.empty()) {
    app.add_flag_function(
           setting.flag, [give](std::int64_t n) { give(n > 0 ? "true" : "false"); }, setting.help)
        ->check(CLI::IsMember({"true", "false"}));
  } else {
    app.add_option_function<std::string>(setting.flag, give, setting.help)
        ->type_name(setting.form)
        ->default_str(usual);
  }
}

}  // namespace

Verb::Verb(CLI::App& program, Action& action, const std::string& name, const std::string& purpose)
    : app_(*program.add_subcommand(name, purpose)), action_(action) {
  app_.add_flag("--json", presentation_->json, "one JSON document on standard output");
  app_.add_flag_callback(
      "-q,--quiet", [p = presentation_] { p->verbosity = Verbosity::quiet; },
      "warnings and errors only");
  app_.add_flag_callback(
      "-v,--verbose", [p = presentation_] { p->verbosity = Verbosity::verbose; },
      "more, among it the resolved configuration");
}

Verb& Verb::settings(std::vector<SettingGroup> groups, const std::set<std::string>& own) {
  for (const Setting& setting : cli::settings()) {
    const bool wanted = std::find(groups.begin(), groups.end(), setting.group) != groups.end();
    if (!wanted || own.contains(setting.key)) continue;
    if (!setting.flag.empty())
      add_setting(app_, layers_, setting);
    else if (setting.key != "model")
      keys_ += fmt::format("  {:<33} {} [{}]\n", setting.key, setting.help,
                           setting.get({}).value_or(""));
  }
  app_.add_option("--config", layers_->file, "settings of a TOML file")->type_name("FILE");
  app_.add_option("--set", layers_->assignments, "a setting; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  return *this;
}

Verb& Verb::model() {
  app_.add_option_function<std::string>(
          "model",
          [layers = layers_](const std::string& name) {
            layers->flags.emplace_back("model", name);
          },
          "network: a name (see `millrace models`) or an ONNX file")
      ->type_name("MODEL");
  return *this;
}

Verb& Verb::examples(const std::string& text) {
  app_.footer(
      (keys_.empty() ? "" : "Settings without a flag, for --set and --config:\n" + keys_ + "\n") +
      "Examples:\n" + text);
  return *this;
}

void Verb::runs(std::function<int(const SettingLayers&, const Presentation&)> run) {
  app_.callback([&action = action_, run = std::move(run), p = presentation_, l = layers_] {
    action = [run, p, l] {
      set_verbosity(p->verbosity);
      return run(*l, *p);
    };
  });
}

RunConfig resolved(const SettingLayers& layers, RunConfig base) {
  RunConfig config = settle_plan(resolve(layers, std::move(base)));
  if (config.micro_batch && *config.micro_batch > config.batch) {
    throw ConfigError("plan",
                      fmt::format("--micro-batch {} is more than the batch of {}: lower it, "
                                  "or raise --batch",
                                  *config.micro_batch, config.batch));
  }
  log_debug("config", "resolved configuration:\n" + to_toml(config));
  return config;
}

RunConfig resolved_with_model(const SettingLayers& layers, RunConfig base) {
  RunConfig config = resolved(layers, std::move(base));
  if (config.model.empty()) {
    throw ConfigError("usage", "no model is named: give one of those that `millrace models` lists");
  }
  if (is_model_file(config.model)) return config;  // opened by those who load LibTorch
  const double weights = 4.0 * static_cast<double>(model_info(config.model).parameters);
  if (config.memory_bytes && static_cast<double>(*config.memory_bytes) < weights) {
    throw NoPlanError("plan",
                      fmt::format("the weights of {} alone need {}, the budget is {}: raise "
                                  "--memory or train a smaller model",
                                  config.model, format_bytes(weights),
                                  format_bytes(static_cast<double>(*config.memory_bytes))));
  }
  return config;
}

}  // namespace millrace::cli
