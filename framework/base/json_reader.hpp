#pragma once
// Strict reading of our JSON forms: every error names the file, the place and the remedy.

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// Reads one JSON object; each get marks its key as known, and finish() refuses what is left.
/// Errors are ConfigError with the given tag: "[costs] FILE: layers[3].forward_ns: …".
class JsonReader {
 public:
  /// `place` is the path inside the document, "" for the root.
  JsonReader(const nlohmann::json& value, std::string tag, std::string origin, std::string place);

  /// Parses a whole document; a syntax error is a ConfigError with line and column.
  static nlohmann::json parse(std::string_view text, const std::string& tag,
                              const std::string& origin);

  bool has(const std::string& key) const;
  /// Required values.
  std::string text(const std::string& key);
  double number(const std::string& key);  ///< finite
  double non_negative(const std::string& key);
  std::int64_t integer(const std::string& key);
  bool boolean(const std::string& key);
  std::vector<std::string> texts(const std::string& key);
  std::vector<std::int64_t> integers(const std::string& key);
  std::vector<double> numbers(const std::string& key);
  const nlohmann::json& array(const std::string& key);
  const nlohmann::json& object(const std::string& key);
  const nlohmann::json& any(const std::string& key);
  /// Refuses keys that nothing asked for.
  void finish() const;

  JsonReader child(const std::string& key);
  /// Reader of element `index` of array `key`.
  JsonReader element(const std::string& key, std::size_t index);

  [[noreturn]] void fail(const std::string& key, const std::string& problem) const;
  std::string place_of(const std::string& key) const;

 private:
  const nlohmann::json& need(const std::string& key);

  const nlohmann::json& value_;
  std::string tag_, origin_, place_;
  std::set<std::string> known_;
};

/// Checks "format" and "version" of one of our documents.
void check_format(JsonReader& reader, const std::string& format, int version);

}  // namespace millrace
