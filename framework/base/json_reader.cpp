#include "framework/base/json_reader.hpp"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "millrace/errors.hpp"

namespace millrace {

using nlohmann::json;

JsonReader::JsonReader(const json& value, std::string tag, std::string origin, std::string place)
    : value_(value), tag_(std::move(tag)), origin_(std::move(origin)), place_(std::move(place)) {
  if (!value_.is_object()) {
    throw ConfigError(
        tag_, fmt::format("{}: {} is {}, an object is needed: compare with a file "
                          "that Millrace wrote",
                          origin_, place_.empty() ? "the document" : place_, value_.type_name()));
  }
}

json JsonReader::parse(std::string_view text, const std::string& tag, const std::string& origin) {
  try {
    return json::parse(text);
  } catch (const json::exception& error) {
    const std::string_view problem = error.what();  // begins with "[json.exception.… ] "
    const auto begin = problem.find("] ");
    throw ConfigError(tag, fmt::format("{}: is not JSON: {}: write the file anew", origin,
                                       problem.substr(begin == problem.npos ? 0 : begin + 2)));
  }
}

bool JsonReader::has(const std::string& key) const { return value_.contains(key); }

const json& JsonReader::need(const std::string& key) {
  known_.insert(key);
  const auto found = value_.find(key);
  if (found == value_.end()) fail(key, "is missing: add it");
  return *found;
}

std::string JsonReader::text(const std::string& key) {
  const json& value = need(key);
  if (!value.is_string()) fail(key, fmt::format("is {}, text is needed", value.dump()));
  return value.get<std::string>();
}

double JsonReader::number(const std::string& key) {
  const json& value = need(key);
  if (!value.is_number() || !std::isfinite(value.get<double>())) {
    fail(key, fmt::format("is {}, a finite number is needed", value.dump()));
  }
  return value.get<double>();
}

double JsonReader::non_negative(const std::string& key) {
  const double value = number(key);
  if (value < 0) fail(key, fmt::format("is {}, a number of at least 0 is needed", value));
  return value;
}

std::int64_t JsonReader::integer(const std::string& key) {
  const json& given = need(key);
  const bool fits = !given.is_number_unsigned() ||
                    given.get<std::uint64_t>() <= std::numeric_limits<std::int64_t>::max();
  if (given.is_number_integer() && fits) return given.get<std::int64_t>();
  const double value = number(key);
  if (value != std::floor(value) || std::abs(value) > 9.007199254740992e15) {
    fail(key, fmt::format("is {}, a whole number is needed", value));
  }
  return static_cast<std::int64_t>(value);
}

bool JsonReader::boolean(const std::string& key) {
  const json& value = need(key);
  if (!value.is_boolean()) fail(key, fmt::format("is {}, true or false is needed", value.dump()));
  return value.get<bool>();
}

std::vector<std::string> JsonReader::texts(const std::string& key) {
  std::vector<std::string> result;
  for (const nlohmann::json& value : array(key)) {
    if (!value.is_string()) fail(key, "holds " + value.dump() + ", a list of text is needed");
    result.push_back(value.get<std::string>());
  }
  return result;
}

std::vector<std::int64_t> JsonReader::integers(const std::string& key) {
  std::vector<std::int64_t> result;
  for (const nlohmann::json& value : array(key)) {
    if (!value.is_number_integer()) {
      fail(key, "holds " + value.dump() + ", a list of whole numbers is needed");
    }
    result.push_back(value.get<std::int64_t>());
  }
  return result;
}

std::vector<double> JsonReader::numbers(const std::string& key) {
  std::vector<double> result;
  for (const nlohmann::json& value : array(key)) {
    if (!value.is_number()) fail(key, "holds " + value.dump() + ", a list of numbers is needed");
    result.push_back(value.get<double>());
  }
  return result;
}

const json& JsonReader::array(const std::string& key) {
  const json& value = need(key);
  if (!value.is_array()) fail(key, fmt::format("is {}, a list is needed", value.type_name()));
  return value;
}

const json& JsonReader::object(const std::string& key) {
  const json& value = need(key);
  if (!value.is_object()) fail(key, fmt::format("is {}, an object is needed", value.type_name()));
  return value;
}

const json& JsonReader::any(const std::string& key) { return need(key); }

void JsonReader::finish() const {
  for (const auto& item : value_.items()) {
    if (!known_.contains(item.key())) {
      fail(item.key(), "is not a field of this format: remove it or correct its name");
    }
  }
}

JsonReader JsonReader::child(const std::string& key) {
  return {object(key), tag_, origin_, place_of(key)};
}

JsonReader JsonReader::element(const std::string& key, std::size_t index) {
  return {array(key).at(index), tag_, origin_, fmt::format("{}[{}]", place_of(key), index)};
}

void JsonReader::fail(const std::string& key, const std::string& problem) const {
  throw ConfigError(tag_, fmt::format("{}: {} {}", origin_, place_of(key), problem));
}

std::string JsonReader::place_of(const std::string& key) const {
  return place_.empty() ? key : place_ + "." + key;
}

void check_format(JsonReader& reader, const std::string& format, int version) {
  const std::string found = reader.text("format");
  if (found != format) {
    reader.fail("format", fmt::format("is \"{}\", \"{}\" is needed: this is another kind of file",
                                      found, format));
  }
  const auto number = reader.integer("version");
  if (number != version) {
    reader.fail("version",
                fmt::format("is {}, this program reads {}: write the file anew", number, version));
  }
}

}  // namespace millrace
