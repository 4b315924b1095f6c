#include "models/data/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
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

/// Of one part of the data.
struct Part {
  std::string origin, text;
};

std::vector<fs::path> text_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file() && entry.path().extension() == ".txt")
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

std::optional<Part> read_split(const fs::path& folder) {
  for (const char* name : {"val.txt", "validation.txt", "test.txt"})
    if (fs::is_regular_file(folder / name))
      return Part{(folder / name).string(), read_file(folder / name, "data")};
  return std::nullopt;
}

/// Training text, and validation text where it is apart.
std::pair<Part, std::optional<Part>> read_parts(const fs::path& path) {
  const fs::file_status status = fs::status(path);
  if (!fs::exists(status)) refuse_data(path, "there is no such file or folder: check --data");
  if (fs::is_regular_file(status)) return {{path.string(), read_file(path, "data")}, std::nullopt};
  if (!fs::is_directory(status)) refuse_data(path, "is neither a file nor a folder");
  if (const fs::path train = path / "train.txt"; fs::is_regular_file(train))
    return {{train.string(), read_file(train, "data")}, read_split(path)};
  const std::vector<fs::path> files = text_files(path);
  if (files.empty()) {
    refuse_data(path, "has no text: give a file, or a folder with train.txt or other .txt files");
  }
  Part all{path.string(), ""};
  for (const fs::path& file : files) all.text += read_file(file, "data");
  return {all, std::nullopt};
}

std::vector<std::string> characters_of(const std::vector<const Part*>& parts) {
  std::set<std::string> found;  // UTF-8 sorts as code points do
  for (const Part* part : parts)
    visit_characters(part->text, part->origin, [&](std::string character, std::size_t) {
      found.insert(std::move(character));
    });
  const std::string& origin = parts.front()->origin;
  if (found.size() < 2)
    refuse_data(origin, fmt::format("has {} different characters: nothing to learn", found.size()));
  if (found.size() > kMostCharacters)
    refuse_data(origin, fmt::format("has {} different characters, at most {} are told apart",
                                    found.size(), kMostCharacters));
  return {found.begin(), found.end()};
}

}  // namespace

std::vector<std::int32_t> encode(const std::string& text,
                                 const std::vector<std::string>& characters,
                                 const std::string& origin) {
  std::unordered_map<std::string, std::int32_t> ids;
  for (const std::string& character : characters)
    ids.emplace(character, static_cast<std::int32_t>(ids.size()));
  std::vector<std::int32_t> result;
  result.reserve(text.size());
  visit_characters(text, origin, [&](const std::string& character, std::size_t at) {
    const auto found = ids.find(character);
    if (found == ids.end()) {
      refuse_data(origin,
                  fmt::format("has {} at byte {}, which is not among the {} characters that "
                              "the model was trained on",
                              quoted(character), at, characters.size()));
    }
    result.push_back(found->second);
  });
  return result;
}

Text open_text(const TextRequest& request) try {
  auto [train, validation] = read_parts(request.path);
  std::vector<const Part*> parts{&train};
  if (validation) parts.push_back(&*validation);
  Text text{request.characters ? *request.characters : characters_of(parts), {}, {}};
  text.train = encode(train.text, text.characters, train.origin);
  if (validation) {
    text.validation = encode(validation->text, text.characters, validation->origin);
    return text;
  }
  const auto held = static_cast<std::ptrdiff_t>(request.validation_fraction *
                                                static_cast<double>(text.train.size()));
  text.validation.assign(text.train.end() - held, text.train.end());
  text.train.erase(text.train.end() - held, text.train.end());
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
