#pragma once
// Text by characters (Unicode code points): what a model reads that says which one follows.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "models/data/samples.hpp"

namespace millrace {

struct TextRequest {
  std::string path;  ///< a file, or a folder
  /// Share of the text, at its end, that becomes validation data where the folder has no split.
  double validation_fraction = 0.1;
  /// The characters that a model knows, by id; absent: those of the text, by code point.
  std::optional<std::vector<std::string>> characters;
};

struct Text {
  std::vector<std::string> characters;  ///< each in UTF-8, by id
  std::vector<std::uint16_t> train, validation;
};

/// Reads a file; or of a folder train.txt and, beside it, val.txt, validation.txt or test.txt; or
/// every .txt file of it, joined in the order of their names. A byte order mark is passed over.
/// Throws ConfigError (tag "data") naming the file and the place: missing, no text there, not
/// UTF-8, fewer than two characters, one that the model does not know, more than 65,536 of them.
Text open_text(const TextRequest& request);

/// The characters of the text at `path`, as open_text() would find them. Throws as that.
std::vector<std::string> characters_in(const std::string& path);

/// Ids of the text's characters. Throws ConfigError (tag "data") naming `origin` and the first that
/// is not among `characters`.
std::vector<std::uint16_t> encode(const std::string& text,
                                  const std::vector<std::string>& characters,
                                  const std::string& origin);

/// Stretches of `length` characters, one behind the other; the labels are the characters that
/// follow each. In training each begins up to `length` characters later, as the key draws.
class TextSamples final : public Samples {
 public:
  TextSamples(std::vector<std::uint16_t> text, std::int64_t length)
      : text_(std::move(text)), length_(length) {}

  /// The last characters that do not fill one are left out.
  std::int64_t size() const override {
    return std::max<std::int64_t>(0, (std::ssize(text_) - 1) / length_);
  }
  SampleLayout layout() const override { return {{length_}, true, {length_}}; }
  void fill(const SampleKey& key, bool training, void* inputs, std::int64_t* labels) const override;

 private:
  std::vector<std::uint16_t> text_;
  std::int64_t length_;
};

}  // namespace millrace
