#include "controller/cli/config_layers.hpp"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <set>
#include <sstream>

#include "controller/cli/settings.hpp"
#include "framework/base/file.hpp"
#include "millrace/errors.hpp"

namespace millrace::cli {
namespace {

using Values = std::vector<std::pair<std::string, std::string>>;

bool ends_the_run(const std::string& key) {
  static const std::set<std::string> keys = {"train.epochs", "train.steps", "train.time"};
  return keys.contains(key);
}

RunConfig apply(RunConfig config, const Values& values, const std::string& origin) {
  std::set<std::string> ends;
  for (const auto& [key, text] : values) {
    if (ends_the_run(key)) ends.insert(key);
  }
  if (ends.size() > 1) {
    throw ConfigError("config", fmt::format("{}: {} and {} both say when the run ends: keep one",
                                            origin, *ends.begin(), *ends.rbegin()));
  }
  if (!ends.empty()) config.epochs = config.steps = config.time_ns = std::nullopt;
  for (const auto& [key, text] : values) find_setting(key, origin).set(config, text);
  return config;
}

std::string text_of(const toml::node& node, const std::string& key, const std::string& origin) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto number = node.value_exact<std::int64_t>()) return std::to_string(*number);
  if (const auto number = node.value_exact<double>()) return fmt::format("{}", *number);
  if (const auto flag = node.value_exact<bool>()) return *flag ? "true" : "false";
  throw ConfigError("config", fmt::format("{}: {} needs one text, number or boolean", origin, key));
}

void flatten(const toml::table& table, const std::string& prefix, const std::string& origin,
             Values& values) {
  for (const auto& [name, node] : table) {
    const std::string key = prefix + std::string(name.str());
    if (const toml::table* inner = node.as_table()) {
      flatten(*inner, key + ".", origin, values);
    } else {
      values.emplace_back(key, text_of(node, key, origin));
    }
  }
}

Values parse_toml(const std::string& text, const std::string& origin) {
  Values values;
  try {
    flatten(toml::parse(text, origin), "", origin, values);
  } catch (const toml::parse_error& error) {
    throw ConfigError("config",
                      fmt::format("{}: line {}, column {}: {}", origin, error.source().begin.line,
                                  error.source().begin.column, error.description()));
  }
  return values;
}

std::pair<std::string, std::string> parse_assignment(const std::string& text) {
  const auto split = text.find('=');
  if (split == std::string::npos || split == 0) {
    throw ConfigError("config", fmt::format("--set {}: needs key=value, such as "
                                            "checkpoint.every_steps=100",
                                            text));
  }
  return {text.substr(0, split), text.substr(split + 1)};
}

}  // namespace

RunConfig apply_toml(RunConfig base, const std::string& text, const std::string& origin) {
  return apply(std::move(base), parse_toml(text, origin), origin);
}

RunConfig resolve(const SettingLayers& layers, RunConfig base) {
  RunConfig config = std::move(base);
  if (!layers.file.empty()) {
    config = apply_toml(std::move(config), read_file(layers.file, "config"), layers.file);
  }
  Values assignments;
  for (const std::string& text : layers.assignments) assignments.push_back(parse_assignment(text));
  config = apply(std::move(config), assignments, "--set");
  return apply(std::move(config), layers.flags, "flags");
}

std::string to_toml(const RunConfig& config) {
  std::ostringstream out;
  std::string section;
  for (const Setting& setting : settings()) {
    const auto text = setting.get(config);
    if (!text) continue;
    const auto dot = setting.key.find('.');
    const std::string own = dot == std::string::npos ? "" : setting.key.substr(0, dot);
    if (own != section) out << "\n[" << own << "]\n";
    section = own;
    out << setting.key.substr(dot == std::string::npos ? 0 : dot + 1) << " = ";
    if (setting.is_text || *text == "auto") {
      out << toml::value<std::string>(*text) << '\n';
    } else {
      out << *text << '\n';
    }
  }
  return out.str();
}

}  // namespace millrace::cli
