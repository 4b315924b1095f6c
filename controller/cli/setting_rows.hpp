#pragma once
// Kinds of rows of the settings' table: how a text becomes a member of RunConfig and back.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "controller/cli/settings.hpp"
#include "framework/base/closest.hpp"
#include "millrace/errors.hpp"

namespace millrace::cli::setting_rows {

using std::optional;
using std::string;
using Int = std::int64_t;

inline constexpr Int kLargest = 1'000'000'000;

[[noreturn]] inline void refuse(const string& key, const string& text, const string& accepted) {
  throw ConfigError("config", fmt::format("{} = '{}': needs {}", key, text, accepted));
}

template <typename Number>
Number parse_number(const string& key, const string& text, Number least, Number most,
                    const string& accepted) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  if (!whole || !(value >= least && value <= most)) refuse(key, text, accepted);
  return value;
}

/// Describes a row; `Place` finds the member in a RunConfig, so that nested values need no twin.
struct Row {
  string key, flag, form, help;
  SettingGroup group;
};

template <typename Set, typename Get>
Setting make(const Row& row, bool is_text, Set set, Get get) {
  return {row.key, row.flag, row.form, row.help, row.group, is_text, set, get};
}

template <typename Place>
Setting text_row(const Row& row, Place place, std::vector<string> accepted = {}) {
  return make(
      row, true,
      [=, key = row.key](RunConfig& config, const string& text) {
        const bool known =
            accepted.empty() || std::find(accepted.begin(), accepted.end(), text) != accepted.end();
        if (!known)
          throw ConfigError("config", key + " = '" + text + "'" + suggestion(text, accepted));
        place(config) = text;
      },
      [=](const RunConfig& config) -> optional<string> {
        const string& value = place(config);
        return value.empty() ? optional<string>() : value;
      });
}

template <typename Place>
Setting choice_row(
    const Row& row, Place place,
    std::vector<std::pair<string, std::decay_t<std::invoke_result_t<Place, RunConfig&>>>> choices) {
  return make(
      row, true,
      [=, key = row.key](RunConfig& config, const string& text) {
        std::vector<string> names;
        for (const auto& [name, value] : choices) {
          if (name == text) {
            place(config) = value;
            return;
          }
          names.push_back(name);
        }
        throw ConfigError("config", key + " = '" + text + "'" + suggestion(text, names));
      },
      [=](const RunConfig& config) -> optional<string> {
        for (const auto& [name, value] : choices) {
          if (value == place(config)) return name;
        }
        return {};
      });
}

/// Whole numbers; with an optional place, "auto" leaves it empty.
template <typename Place>
Setting integer_row(const Row& row, Place place, Int least, Int most = kLargest) {
  using Value = std::decay_t<std::invoke_result_t<Place, RunConfig&>>;
  constexpr bool kOptional = std::is_same_v<Value, optional<Int>>;
  const string accepted = fmt::format("a whole number from {} to {}{}", least, most,
                                      row.form.ends_with("|auto") ? ", or auto" : "");
  return make(
      row, false,
      [=](RunConfig& config, const string& text) {
        if (text == "auto" && row.form.ends_with("|auto")) {
          const RunConfig defaults;
          place(config) = place(defaults);
          return;
        }
        place(config) = static_cast<Value>(parse_number<Int>(row.key, text, least, most, accepted));
      },
      [=](const RunConfig& config) -> optional<string> {
        if constexpr (kOptional) {
          const auto& value = place(config);
          if (value) return std::to_string(*value);
          return row.form.ends_with("|auto") ? optional<string>("auto") : optional<string>();
        } else {
          return std::to_string(place(config));
        }
      });
}

template <typename Place>
Setting real_row(const Row& row, Place place, double least, double most = 1e9) {
  const string accepted = fmt::format("a number from {:g} to {:g}", least, most);
  return make(
      row, false,
      [=](RunConfig& config, const string& text) {
        place(config) = parse_number<double>(row.key, text, least, most, accepted);
      },
      [=](const RunConfig& config) -> optional<string> {
        return fmt::format("{}", place(config));
      });
}

template <typename Place>
Setting switch_row(const Row& row, Place place) {
  return make(
      row, false,
      [=](RunConfig& config, const string& text) {
        if (text != "true" && text != "false") refuse(row.key, text, "true or false");
        place(config) = text == "true";
      },
      [=](const RunConfig& config) -> optional<string> {
        return place(config) ? "true" : "false";
      });
}

/// Bytes or durations, written back as the plain count that `parse` reads as the same value.
template <typename Place, typename Parse>
Setting quantity_row(const Row& row, Place place, Parse parse, const string& unit) {
  return make(
      row, true,
      [=](RunConfig& config, const string& text) {
        const Int value = parse(text);
        if (value <= 0) refuse(row.key, text, "more than 0");
        place(config) = value;
      },
      [=](const RunConfig& config) -> optional<string> {
        const auto& value = place(config);
        return value ? optional<string>(std::to_string(*value) + unit) : optional<string>();
      });
}

}  // namespace millrace::cli::setting_rows
