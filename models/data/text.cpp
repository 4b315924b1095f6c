#include "models/data/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string_view>
#include <unordered_map>

#include "framework/base/file.hpp"
#include "millrace/errors.hpp"
#include "models/data/draws.hpp"
#include "models/data/formats.hpp"
#include "models/data/utf8.hpp"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostCharacters = 65'536;

/// Calls visit(bytes of one character, their offset) for each of a UTF-8 text.
template <typename Visit>
void visit_characters(const std::string& text, const std::string& origin, const Visit& visit) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = utf8_size(text, at);
    if (size == 0) {
      refuse_data(origin, fmt::format("is not UTF-8 at byte {} (0x{:02x}): convert it, as with "
                                      "iconv -t UTF-8",
                                      at, static_cast<unsigned char>(text[at])));
    }
    visit(text.substr(at, size), at);
    at += size;
  }
}

std::string quoted(const std::string& character) {
  if (character.size() > 1 || static_cast<unsigned char>(character[0]) >= ' ')
    return "'" + character + "'";
  return fmt::format("the character 0x{:02x}", character[0]);
}

/// A file as it is read.
struct Part {
  std::string origin, text;
};

Part read_part(const fs::path& file) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  Part part{file.string(), read_file(file, "data")};
  if (part.text.starts_with(kByteOrderMark)) part.text.erase(0, kByteOrderMark.size());
  return part;
}

std::vector<fs::path> text_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file() && entry.path().extension() == ".txt")
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

/// Where the text is.
struct Files {
  std::vector<fs::path> train;
  std::optional<fs::path> validation;
};

std::optional<fs::path> validation_in(const fs::path& folder) {
  for (const char* name : {"val.txt", "validation.txt", "test.txt"})
    if (fs::is_regular_file(folder / name)) return folder / name;
  return std::nullopt;
}

Files find_files(const fs::path& path) {
  const fs::file_status status = fs::status(path);
  if (!fs::exists(status)) refuse_data(path, "there is no such file or folder: check --data");
  if (fs::is_regular_file(status)) return {{path}, std::nullopt};
  if (!fs::is_directory(status)) refuse_data(path, "is neither a file nor a folder");
  if (const fs::path train = path / "train.txt"; fs::is_regular_file(train))
    return {{train}, validation_in(path)};
  const std::vector<fs::path> files = text_files(path);
  if (files.empty()) {
    refuse_data(path, "has no text: give a file, or a folder with train.txt or other .txt files");
  }
  return {files, std::nullopt};
}

std::vector<Part> read_parts(const Files& files) {
  std::vector<Part> parts;
  for (const fs::path& file : files.train) parts.push_back(read_part(file));
  if (files.validation) parts.push_back(read_part(*files.validation));
  return parts;
}

std::vector<std::string> characters_of(const std::vector<Part>& parts, const std::string& path) {
  std::set<std::string> found;  // UTF-8 sorts as code points do
  for (const Part& part : parts)
    visit_characters(part.text, part.origin, [&](std::string character, std::size_t) {
      found.insert(std::move(character));
    });
  if (found.size() < 2)
    refuse_data(path, fmt::format("has {} different characters, a model tells 2 apart at least: "
                                  "give more text",
                                  found.size()));
  if (found.size() > kMostCharacters)
    refuse_data(path, fmt::format("has {} different characters, at most {} are told apart: give "
                                  "text of fewer",
                                  found.size(), kMostCharacters));
  return {found.begin(), found.end()};
}

}  // namespace

std::vector<std::uint16_t> encode(const std::string& text,
                                  const std::vector<std::string>& characters,
                                  const std::string& origin) {
  std::unordered_map<std::string, std::uint16_t> ids;
  for (std::size_t id = 0; id < characters.size(); ++id)
    ids.emplace(characters[id], static_cast<std::uint16_t>(id));
  std::vector<std::uint16_t> result;
  visit_characters(text, origin, [&](const std::string& character, std::size_t at) {
    const auto found = ids.find(character);
    if (found == ids.end()) {
      refuse_data(origin,
                  fmt::format("has {} at byte {}, which is not among the {} characters that the "
                              "model was trained on: leave it out, or train a model with it",
                              quoted(character), at, characters.size()));
    }
    result.push_back(found->second);
  });
  result.shrink_to_fit();
  return result;
}

std::vector<std::string> characters_in(const std::string& path) try {
  return characters_of(read_parts(find_files(path)), path);
} catch (const fs::filesystem_error& failure) {
  refuse_data(failure.path1(), "cannot be read: " + failure.code().message());
}

Text open_text(const TextRequest& request) try {
  const Files files = find_files(request.path);
  const std::vector<Part> parts = read_parts(files);
  Text text{request.characters ? *request.characters : characters_of(parts, request.path), {}, {}};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto ids = encode(parts[i].text, text.characters, parts[i].origin);
    auto& to = i < files.train.size() ? text.train : text.validation;
    to.insert(to.end(), ids.begin(), ids.end());
  }
  if (files.validation) return text;
  const auto held = static_cast<std::ptrdiff_t>(request.validation_fraction *
                                                static_cast<double>(text.train.size()));
  text.validation.assign(text.train.end() - held, text.train.end());
  text.train.resize(text.train.size() - static_cast<std::size_t>(held));
  return text;
} catch (const fs::filesystem_error& failure) {
  refuse_data(failure.path1(), "cannot be read: " + failure.code().message());
}

void TextSamples::fill(const SampleKey& key, bool training, void* inputs,
                       std::int64_t* labels) const {
  std::int64_t begin = key.index * length_;
  if (training) {
    Draws draws{key.seed, static_cast<std::uint64_t>(key.epoch),
                static_cast<std::uint64_t>(key.index)};
    const auto later = static_cast<std::int64_t>(draws.below(static_cast<std::uint64_t>(length_)));
    begin = std::min(begin + later, std::ssize(text_) - length_ - 1);
  }
  const auto from = text_.begin() + begin;
  std::copy_n(from, length_, static_cast<std::int64_t*>(inputs));
  std::copy_n(from + 1, length_, labels);
}

}  // namespace millrace
